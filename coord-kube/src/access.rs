//! Which rights this user has, and a Role that grants the missing ones.

use std::fmt;

use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
};
use kube::{Api, api::PostParams};

use crate::{Action, Cluster, Error};

/// A right: a verb on a resource, or on one object of that resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    verb: &'static str,
    resource: &'static str,
    name: Option<String>,
}

/// Whether this user has a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The right.
    pub rule: Rule,
    /// Whether this user has it in the namespace.
    pub allowed: bool,
}

/// A Role in a namespace, in the form that `kubectl apply` accepts.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// The Role's name.
    pub name: &'a str,
    /// The Role's namespace.
    pub namespace: &'a str,
    /// The rights that it grants.
    pub rules: &'a [Rule],
}

impl Rule {
    /// A verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`) on a resource, by its
    /// plural name. As in kubectl, an API group other than the core group follows the name:
    /// `leases.coordination.k8s.io`.
    #[must_use]
    pub const fn new(verb: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            resource,
            name: None,
        }
    }

    /// Restricts the right to the object of this name (`resourceNames`). Create and list rights
    /// cannot be restricted.
    #[must_use]
    pub fn on(self, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..self
        }
    }

    /// The verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    /// The resource's plural name, with its API group.
    #[must_use]
    pub fn resource(&self) -> &'static str {
        self.resource
    }

    /// The name of the object, if the right is about one object.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The plural name and the API group.
    fn parts(&self) -> (&'static str, &'static str) {
        self.resource.split_once('.').unwrap_or((self.resource, ""))
    }

    fn is_about_the_same(&self, other: &Self) -> bool {
        (self.resource, &self.name) == (other.resource, &other.name)
    }
}

/// Formats the right as in a Role, in YAML.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (resource, group) = self.parts();
        write!(f, r#"{{apiGroups: ["{group}"], resources: ["{resource}"]"#)?;
        if let Some(name) = &self.name {
            write!(f, ", resourceNames: [{name:?}]")?;
        }
        write!(f, r#", verbs: ["{}"]}}"#, self.verb)
    }
}

/// Combines all verbs on the same objects in one rule.
impl fmt::Display for Role<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, namespace, ..
        } = self;
        writeln!(f, "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role")?;
        writeln!(
            f,
            "metadata:\n  name: {name:?}\n  namespace: {namespace:?}\nrules:"
        )?;
        for (at, rule) in self.rules.iter().enumerate() {
            let same = |other: &&Rule| other.is_about_the_same(rule);
            if self.rules[..at].iter().any(|other| same(&other)) {
                continue;
            }
            let verbs = self.rules.iter().filter(same);
            let verbs: Vec<_> = verbs.map(|rule| format!("{:?}", rule.verb)).collect();
            let (resource, group) = rule.parts();
            writeln!(f, "- apiGroups: [{group:?}]\n  resources: [{resource:?}]")?;
            if let Some(name) = &rule.name {
                writeln!(f, "  resourceNames: [{name:?}]")?;
            }
            writeln!(f, "  verbs: [{}]", verbs.join(", "))?;
        }
        Ok(())
    }
}

impl Cluster {
    /// Asks the server for each right whether this user has it in the namespace. It uses
    /// `SelfSubjectAccessReview`, which every authenticated user may create.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub async fn access(&self, rules: &[Rule]) -> Result<Vec<Access>, Error> {
        let mut answers = Vec::with_capacity(rules.len());
        for rule in rules {
            let allowed = self.may(rule).await?;
            let rule = rule.clone();
            answers.push(Access { rule, allowed });
        }
        Ok(answers)
    }

    /// The user name by which the server knows this user (`SelfSubjectReview`, since Kubernetes
    /// 1.28); `None` if the server does not tell.
    pub async fn whoami(&self) -> Option<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client().clone());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        let action = Action::new("create", "selfsubjectreviews");
        let answer = self.call(action, || api.create(&params, &review)).await;
        answer.ok()?.status?.user_info?.username
    }

    /// Runs a tool's `check` command. The status is 0 when this user has all needed rights,
    /// otherwise 1. Then it prints a Role of this name that grants the needed and the `optional`
    /// rights.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    #[cfg(feature = "cli")]
    pub async fn check(
        &self,
        role: &str,
        needed: &[Rule],
        optional: &[Rule],
    ) -> Result<coord_core::Status, coord_core::cli::Failure> {
        let lacks = |access: Vec<Access>| -> Vec<Rule> {
            let missing = access.into_iter().filter(|access| !access.allowed);
            missing.map(|access| access.rule).collect()
        };
        let missing = lacks(self.access(needed).await?);
        let wished = lacks(self.access(optional).await?);
        if missing.is_empty() && wished.is_empty() {
            return Ok(coord_core::Status::DONE);
        }
        let user = self.whoami().await;
        let user = user.map_or_else(|| "this user".to_owned(), |user| format!("user {user:?}"));
        let namespace = self.namespace();
        if missing.is_empty() {
            let lacks = in_words(&wished);
            log::debug!("{user} can do without the right to {lacks} in namespace {namespace:?}");
            return Ok(coord_core::Status::DONE);
        }
        let lacks = in_words(&missing);
        log::warn!(
            "{user} lacks the right to {lacks} in namespace {namespace:?}: apply the Role printed below and bind it to that user"
        );
        let role = Role {
            name: role,
            namespace,
            rules: &[needed, optional].concat(),
        };
        coord_core::cli::print(&role.to_string())?;
        Ok(coord_core::Status::NO)
    }

    async fn may(&self, rule: &Rule) -> Result<bool, Error> {
        let (resource, group) = rule.parts();
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            namespace: Some(self.namespace().to_owned()),
            verb: Some(rule.verb.to_owned()),
            resource: Some(resource.to_owned()),
            name: rule.name.clone(),
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

/// Formats rights as `get configmaps, create configmaps`, and so on.
#[cfg(feature = "cli")]
fn in_words(rules: &[Rule]) -> String {
    let one = |rule: &Rule| match &rule.name {
        Some(name) => format!("{} {} {name:?}", rule.verb, rule.resource),
        None => format!("{} {}", rule.verb, rule.resource),
    };
    rules.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_one_rule_for_each_kind_of_object() {
        let rules = [
            Rule::new("get", "configmaps").on("x"),
            Rule::new("create", "configmaps"),
            Rule::new("update", "configmaps").on("x"),
            Rule::new("get", "pods"),
            Rule::new("get", "leases.coordination.k8s.io"),
        ];
        let role = Role {
            name: "tool",
            namespace: "ci",
            rules: &rules,
        };
        let expected = r#"apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: "tool"
  namespace: "ci"
rules:
- apiGroups: [""]
  resources: ["configmaps"]
  resourceNames: ["x"]
  verbs: ["get", "update"]
- apiGroups: [""]
  resources: ["configmaps"]
  verbs: ["create"]
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["get"]
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  verbs: ["get"]
"#;
        let rule = r#"{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get"]}"#;
        assert_eq!(rules[4].to_string(), rule);
        assert_eq!(role.to_string(), expected);
    }
}
