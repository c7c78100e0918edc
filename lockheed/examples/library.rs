//! Four tasks count under one lock in a directory: `cargo run -p lockheed --example library`.

use std::{sync::Arc, time::Duration};

use lockheed::{DirStore, Lock};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("lockheed-example-{}", std::process::id()));
    let store = Arc::new(DirStore::create(&dir)?);
    let counter = dir.join("counter");
    std::fs::write(&counter, "0")?;
    let workers: Vec<_> = (0..4)
        .map(|number| {
            let (store, counter) = (store.clone(), counter.clone());
            tokio::spawn(async move {
                for _ in 0..5 {
                    count(store.clone(), number, &counter)
                        .await
                        .expect("counting failed");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await?;
    }
    println!("counted to {}", std::fs::read_to_string(&counter)?);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn count(
    store: Arc<DirStore>,
    worker: u32,
    counter: &std::path::Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let lock = Lock::new(store, "counter".parse()?)
        .duration(Duration::from_secs(30))
        .renew_interval(Duration::from_secs(10));
    let held = lock.acquire().await?;
    let number: u32 = std::fs::read_to_string(counter)?.parse()?;
    std::fs::write(counter, (number + 1).to_string())?;
    println!(
        "worker {worker} counted to {} with token {}",
        number + 1,
        held.token()
    );
    held.release().await?;
    Ok(())
}
