//! The lowest possible cost of a hand-off on this machine: two writes, and a server that reports
//! both to all waiters. These clients only look for their turn in the bytes they receive.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use coord_kube::Cluster;
use futures::{AsyncBufReadExt, AsyncReadExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{PostParams, Request, WatchParams},
};
use tokio::{sync::Mutex, task::JoinHandle, time::sleep};

use super::{Place, cluster};

/// About the size of a waiter's place in a lock.
const PLACE: usize = 200;

/// How long the lock is held, as in the measurement of the real one.
pub(super) const HELD: Duration = Duration::from_millis(50);

/// A waiter in the queue.
struct Waiter {
    number: usize,
    of: usize,
    cluster: Cluster,
    object: ConfigMap,
    released: Arc<Mutex<Instant>>,
}

/// The times from the start of a release to the end of the next holder's write, among this many
/// waiters.
pub(super) async fn hand_offs(place: &Place, waiters: usize) -> Vec<Duration> {
    let ours = cluster(&place.user, "floor/1").await;
    let mut object = ConfigMap::default();
    object.metadata.name = Some("floor".to_owned());
    let objects: Api<ConfigMap> = ours.api();
    objects
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    let released = Arc::new(Mutex::new(Instant::now()));
    let mut waiting = Vec::new();
    for number in 0..waiters {
        let waiter = Waiter {
            number,
            of: waiters,
            cluster: cluster(&place.user, "floor/1").await,
            object: object.clone(),
            released: Arc::clone(&released),
        };
        waiting.push(waiter.begin().await);
    }
    *released.lock().await = Instant::now();
    write(&objects, &mut object, 0, waiters).await;
    let mut times = Vec::new();
    for waiter in waiting {
        times.push(waiter.await.unwrap());
    }
    times
}

async fn write(objects: &Api<ConfigMap>, object: &mut ConfigMap, turn: usize, left: usize) {
    let queue = "x".repeat(PLACE * left);
    object.data = Some([(format!("turn-{turn}."), queue)].into());
    let options = PostParams::default();
    objects.replace("floor", &options, object).await.unwrap();
}

impl Waiter {
    /// Returns when its watch has started.
    async fn begin(self) -> JoinHandle<Duration> {
        let all = Request::new(format!(
            "/api/v1/namespaces/{}/configmaps",
            self.cluster.namespace()
        ));
        let selection = WatchParams::default().fields("metadata.name=floor");
        let watch = all.watch(&selection, "0").unwrap();
        let mut events = self.cluster.client().request_stream(watch).await.unwrap();
        let begun = events.fill_buf().await.unwrap();
        assert!(!begun.is_empty());
        tokio::spawn(async move {
            let turn = format!("turn-{}.", self.number);
            let mut buffer = [0; 64 << 10];
            let (mut kept, mut told) = (0, false);
            while !told {
                let read = events.read(&mut buffer[kept..]).await.unwrap();
                assert!(read > 0, "the watch has ended");
                let bytes = &buffer[..kept + read];
                told = bytes
                    .windows(turn.len())
                    .any(|part| part == turn.as_bytes());
                // The text may arrive in two parts.
                let from = bytes.len().saturating_sub(turn.len());
                let end = from..bytes.len();
                kept = end.len();
                buffer.copy_within(end, 0);
            }
            self.serve().await
        })
    }

    /// Has its turn, and passes it on.
    async fn serve(mut self) -> Duration {
        let objects: Api<ConfigMap> = self.cluster.api();
        let left = self.of - self.number;
        write(&objects, &mut self.object, self.of + self.number, left).await;
        let took = self.released.lock().await.elapsed();
        sleep(HELD).await;
        *self.released.lock().await = Instant::now();
        write(&objects, &mut self.object, self.number + 1, left - 1).await;
        took
    }
}
