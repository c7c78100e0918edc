//! What this user may do, and the rules that are missing.

use std::fmt;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};

use crate::{Action, Cluster, Error};

/// A right: a verb on a resource of the core API group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    verb: &'static str,
    resource: &'static str,
}

/// Whether a right is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The right.
    pub rule: Rule,
    /// Whether this user has it in the namespace.
    pub allowed: bool,
}

impl Rule {
    /// A verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`) on a resource, by its plural name.
    #[must_use]
    pub const fn new(verb: &'static str, resource: &'static str) -> Self {
        Self { verb, resource }
    }

    /// The verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    /// The resource's plural name.
    #[must_use]
    pub fn resource(&self) -> &'static str {
        self.resource
    }
}

/// As it is written in a Role, in YAML.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource } = self;
        write!(
            f,
            r#"{{apiGroups: [""], resources: ["{resource}"], verbs: ["{verb}"]}}"#
        )
    }
}

impl Cluster {
    /// Asks for each right whether this user has it in the namespace (`SelfSubjectAccessReview`, which every authenticated user may ask).
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn access(&self, rules: &[Rule]) -> Result<Vec<Access>, Error> {
        let mut answers = Vec::with_capacity(rules.len());
        for &rule in rules {
            let allowed = self.may(rule).await?;
            answers.push(Access { rule, allowed });
        }
        Ok(answers)
    }

    /// What a tool's `check` does: prints the rules that a Role must still have, as YAML; status 0 when there are none, else 1.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    #[cfg(feature = "cli")]
    pub async fn check(
        &self,
        rules: &[Rule],
    ) -> Result<coord_core::Status, coord_core::cli::Failure> {
        let access = self.access(rules).await?;
        let missing = access.iter().filter(|access| !access.allowed);
        let missing: Vec<String> = missing
            .map(|access| format!("- {}\n", access.rule))
            .collect();
        if missing.is_empty() {
            return Ok(coord_core::Status::DONE);
        }
        log::warn!(
            "in namespace {:?}, a Role of this user must still have the rules printed",
            self.namespace()
        );
        coord_core::cli::print(&format!("rules:\n{}", missing.concat()))?;
        Ok(coord_core::Status::NO)
    }

    async fn may(&self, rule: Rule) -> Result<bool, Error> {
        let attributes = ResourceAttributes {
            namespace: Some(self.namespace().to_owned()),
            verb: Some(rule.verb.to_owned()),
            resource: Some(rule.resource.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client().clone());
        let action = Action::new("create", "selfsubjectaccessreviews");
        let params = PostParams::default();
        let answer = self.call(action, || api.create(&params, &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}
