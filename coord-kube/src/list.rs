//! Listing objects page by page.

use std::future::Future;

use kube::{api::ListParams, core::ObjectList};

use crate::{Action, Cluster, Error};

/// How many objects a page has, unless they are so large that fewer fit.
const PAGE: u32 = 100;

impl Cluster {
    /// Lists objects page by page. It passes each object to `take` before it requests the next
    /// page, so only one page is in memory.
    ///
    /// `list` makes one request with these parameters, such as [`kube::Api::list`] or
    /// [`kube::Api::list_metadata`].
    ///
    /// # Errors
    /// As for [`call`](Self::call), for each page.
    pub async fn list<K, F>(
        &self,
        action: Action,
        selection: &ListParams,
        list: impl Fn(ListParams) -> F,
        mut take: impl FnMut(K),
    ) -> Result<(), Error>
    where
        K: Clone,
        F: Future<Output = kube::Result<ObjectList<K>>>,
    {
        let mut page = selection.clone().limit(PAGE);
        loop {
            let answer = self.call(action.clone(), || list(page.clone())).await;
            page.continue_token = match (answer, page.limit) {
                (Ok(found), _) => {
                    found.items.into_iter().for_each(&mut take);
                    found.metadata.continue_.filter(|token| !token.is_empty())
                }
                (Err(error), Some(limit)) if error.is_too_long() && limit > 1 => {
                    page.limit = Some(limit.div_ceil(4));
                    continue;
                }
                (Err(error), _) => Some(error.goes_on_at().ok_or(error)?),
            };
            if page.continue_token.is_none() {
                return Ok(());
            }
        }
    }
}
