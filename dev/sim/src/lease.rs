//! lockheed's locks as Leases, in the form in which lockheed sends them to the API server.

use std::collections::BTreeMap;

use coord_lease::{Random, Version};
use kube::core::DynamicObject;
use lockheed::{
    LockName, Timestamp,
    store::{Leases, Object, ObjectKind as _, WriteContext},
};

use super::{client_go::ClientGo, game::Stored, mutex::Form};

/// A Lease as the API server stores it.
#[derive(Clone, Debug)]
pub(super) struct LeaseObject(pub(super) DynamicObject);

impl Form for LeaseObject {
    type Foreign = ClientGo;

    fn foreign(random: &mut Random) -> ClientGo {
        ClientGo::new(random)
    }

    fn write(object: Object, now: Timestamp) -> Self {
        let at = WriteContext {
            name: object.name.as_str(),
            namespace: "default",
            labels: &BTreeMap::new(),
            now,
        };
        #[allow(clippy::expect_used, reason = "it is what the protocol writes")]
        Self(
            Leases
                .write(at, &object)
                .expect("what is written is a lock"),
        )
    }

    fn read(self, name: &LockName) -> Object {
        #[allow(clippy::expect_used, reason = "client-go and lockheed wrote it")]
        let object = Leases.read(name, self.0).expect("what is read is a lock");
        object
    }
}

impl Stored for LeaseObject {
    fn uid(&self) -> &str {
        self.0.metadata.uid.as_deref().unwrap_or_default()
    }

    fn version(&self) -> Version {
        Version::new(self.0.metadata.resource_version.clone().unwrap_or_default())
    }

    fn set_uid(&mut self, uid: &str) {
        self.0.metadata.uid = Some(uid.to_owned());
    }

    fn set_version(&mut self, version: &Version) {
        self.0.metadata.resource_version = Some(version.as_str().to_owned());
    }

    fn text(&self) -> String {
        format!("{} {:?}", self.0.data["spec"], self.0.metadata.annotations)
    }
}
