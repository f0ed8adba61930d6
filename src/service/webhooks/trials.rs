//! How many webhooks are tried by the test button at one time: no project takes the places of others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::domain::id::ProjectId;

/// The places of this node.
#[derive(Debug)]
pub(super) struct Trials {
    all: Arc<Semaphore>,
    /// Of projects that have, or wait for, some.
    projects: Mutex<HashMap<ProjectId, Arc<Semaphore>>>,
}

/// It is free again once this is dropped.
#[derive(Debug)]
pub(super) struct TrialPlace {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Default for Trials {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MOST)), projects: Mutex::default() }
    }
}

impl Trials {
    /// A place for one of this project; none if there is none for a while.
    pub(super) async fn place(&self, project: &ProjectId) -> Option<TrialPlace> {
        let own = self.own(project);
        let place = async {
            // The project's own first: whoever waits for that keeps nobody else waiting.
            let own = own.acquire_owned().await.ok()?;
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(TrialPlace { _own: own, _all: all })
        };
        timeout(WAITS, place).await.ok().flatten()
    }

    fn own(&self, project: &ProjectId) -> Arc<Semaphore> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody has or waits for are as good as new ones.
        projects.retain(|_, own| Arc::strong_count(own) > 1);
        let own = projects.entry(project.clone()).or_insert_with(|| Arc::new(Semaphore::new(MOST_OF_PROJECT)));
        Arc::clone(own)
    }
}

/// Webhooks that are tried at one time, by all callers of this node.
const MOST: usize = 32;
/// Those of one project: half of what an environment may have, so that all of them are tried in two turns.
pub(super) const MOST_OF_PROJECT: usize = 10;
/// How long one waits for others.
const WAITS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_project_takes_the_places_of_others() {
        let trials = Trials::default();
        let [one, other] = ["one", "other"].map(|id| ProjectId::parse(id).unwrap());
        let mut taken = Vec::new();
        for _ in 0..MOST_OF_PROJECT {
            taken.push(trials.place(&one).await.unwrap());
        }
        assert!(trials.place(&one).await.is_none());
        assert!(trials.place(&other).await.is_some());
        taken.pop();
        taken.push(trials.place(&one).await.unwrap());
        assert!(trials.place(&one).await.is_none());
        // Those that have none are forgotten.
        taken.clear();
        assert!(trials.place(&other).await.is_some());
        assert_eq!(trials.projects.lock().unwrap().len(), 1);

        // Nor do all together take more than there are.
        for n in 0..MOST {
            taken.push(trials.place(&ProjectId::parse(&format!("shop-{n}")).unwrap()).await.unwrap());
        }
        assert!(trials.place(&other).await.is_none());
    }
}
