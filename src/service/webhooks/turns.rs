//! Whose deliveries are made next, so that no project holds up another by many or slow webhooks, and no slow webhook the others
//! of its project. It knows neither the store nor the network.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::domain::id::{ProjectId, WebhookId};
use crate::domain::webhook::MAX_WEBHOOKS;
use crate::store::DueWebhook;

/// The rounds that a node makes at one time, and the webhooks that wait for one.
#[derive(Debug, Default)]
pub(super) struct Turns {
    due: VecDeque<DueWebhook>,
    rounds: HashMap<WebhookId, Round>,
    /// Those that took long to answer when they were told last.
    slow: HashSet<WebhookId>,
}

#[derive(Debug)]
struct Round {
    project: ProjectId,
    slow: bool,
}

/// Rounds of one project.
#[derive(Clone, Copy, Default)]
struct Rounds {
    all: usize,
    slow: usize,
}

impl Turns {
    /// Takes what is due now, the longest overdue first, for what was due before.
    pub(super) fn offer(&mut self, due: Vec<DueWebhook>) {
        self.due = due.into_iter().filter(|due| !self.rounds.contains_key(&due.webhook)).collect();
    }

    /// Begins the next round, if another may be made now: of a project that has the fewest, the webhook that waits longest.
    pub(super) fn begin(&mut self) -> Option<DueWebhook> {
        let mut projects: HashMap<&ProjectId, Rounds> = HashMap::new();
        for round in self.rounds.values() {
            let rounds = projects.entry(&round.project).or_default();
            rounds.all += 1;
            rounds.slow += usize::from(round.slow);
        }
        let mut best: Option<(usize, usize)> = None;
        for (place, due) in self.due.iter().enumerate() {
            let rounds = projects.get(&due.project).copied().unwrap_or_default();
            if best.is_none_or(|(fewest, _)| rounds.all < fewest) && self.may_begin(due, rounds) {
                best = Some((rounds.all, place));
                if rounds.all == 0 {
                    break;
                }
            }
        }
        let next = self.due.remove(best?.1)?;
        let round = Round { project: next.project.clone(), slow: self.slow.contains(&next.webhook) };
        self.rounds.insert(next.webhook.clone(), round);
        Some(next)
    }

    /// A round has ended whose slowest attempt took this long. If it had anything to tell, there may be more: it waits again,
    /// behind those that wait already.
    pub(super) fn end(&mut self, webhook: WebhookId, took: Duration, more: bool) {
        let Some(Round { project, .. }) = self.rounds.remove(&webhook) else { return };
        if took <= SLOW {
            // Nothing was told: nothing is known anew.
            if more {
                self.slow.remove(&webhook);
            }
        } else {
            if self.slow.len() >= MOST_KNOWN {
                self.slow.clear();
            }
            self.slow.insert(webhook.clone());
        }
        if more {
            self.due.push_back(DueWebhook { webhook, project });
        }
    }

    fn may_begin(&self, due: &DueWebhook, rounds: Rounds) -> bool {
        let most = if rounds.all == 0 { MOST_ROUNDS } else { MOST_ROUNDS - KEPT_ROUNDS };
        self.rounds.len() < most
            && rounds.all < MOST_OF_PROJECT
            && (rounds.slow < MOST_SLOW_OF_PROJECT || !self.slow.contains(&due.webhook))
            && !self.rounds.contains_key(&due.webhook)
    }
}

/// Webhooks that one node is at, at one time.
const MOST_ROUNDS: usize = 32;
/// Those of them that are kept for projects of which no other webhook is told anything.
const KEPT_ROUNDS: usize = 8;
/// Webhooks of one project that one node is at, at one time.
const MOST_OF_PROJECT: usize = 8;
/// Those of them that were slow when they were told last.
const MOST_SLOW_OF_PROJECT: usize = 4;
/// What takes longer is slow.
const SLOW: Duration = Duration::from_secs(2);
/// Slow webhooks that are remembered; they show again.
const MOST_KNOWN: usize = 10_000;
/// Webhooks to offer: more than all projects can have of which a round is made. So there is one of another among them, if there
/// is one at all.
pub(super) const MOST_DUE: u32 = (MOST_ROUNDS as u32 + 1) * 2 * MAX_WEBHOOKS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::store::tests::support::at;

    fn due(project: &str, number: usize) -> Vec<DueWebhook> {
        let project = ProjectId::parse(project).unwrap();
        let one = |_| DueWebhook { webhook: WebhookId::new(at(1), &SystemEntropy), project: project.clone() };
        (0..number).map(one).collect()
    }

    fn begin_all(turns: &mut Turns) -> Vec<DueWebhook> {
        std::iter::from_fn(|| turns.begin()).collect()
    }

    fn of(begun: &[DueWebhook], project: &str) -> usize {
        begun.iter().filter(|due| due.project.as_str() == project).count()
    }

    #[test]
    fn one_project_leaves_room_for_others() {
        let mut turns = Turns::default();
        turns.offer([due("crowd", 40), due("shop", 2)].concat());
        let begun = begin_all(&mut turns);
        assert_eq!((of(&begun, "crowd"), of(&begun, "shop")), (8, 2));
        assert_eq!(begun[1].project.as_str(), "shop", "each in turn");

        // Nor do many that have many: whoever has none is next, and none waits for another's rounds to end.
        let mut turns = Turns::default();
        turns.offer(["one", "two", "three", "four", "five"].map(|project| due(project, 40)).concat());
        let begun = begin_all(&mut turns);
        assert_eq!(begun.len(), 24);
        assert!(["one", "two", "three", "four", "five"].iter().all(|project| of(&begun, project) >= 4));
        let many: Vec<_> = (0..9).map(|n| due(&format!("shop-{n}"), 2)).collect();
        turns.offer([due("one", 20), many.concat()].concat());
        let more = begin_all(&mut turns);
        assert_eq!((of(&more, "one"), of(&more, "shop-0"), more.len()), (0, 1, 8));
        turns.end(begun[0].webhook.clone(), Duration::ZERO, false);
        assert_eq!(turns.begin().unwrap().project.as_str(), "shop-8");
    }

    #[test]
    fn slow_ones_leave_room_for_the_others_of_their_project() {
        let mut turns = Turns::default();
        let slow = due("shop", 8);
        turns.offer(slow.clone());
        assert_eq!(begin_all(&mut turns).len(), 8, "nothing is known of them yet");
        for one in &slow {
            turns.end(one.webhook.clone(), Duration::from_secs(15), true);
        }
        assert_eq!(begin_all(&mut turns).len(), 4);
        turns.offer([slow.clone(), due("shop", 9)].concat());
        let begun = begin_all(&mut turns);
        assert!(begun.len() == 4 && begun.iter().all(|due| !slow.contains(due)), "{begun:?}");
        // What was quick again may be told with the others.
        for one in &slow[..4] {
            turns.end(one.webhook.clone(), Duration::from_millis(20), true);
        }
        turns.offer(slow[..4].to_vec());
        assert_eq!(begin_all(&mut turns), slow[..4]);
    }

    #[test]
    fn each_webhook_has_one_round_and_the_others_come_first() {
        let mut turns = Turns::default();
        let all = due("shop", 10);
        turns.offer(all.clone());
        assert_eq!(begin_all(&mut turns), all[..8]);
        turns.offer(all.clone());
        assert!(turns.begin().is_none());
        turns.end(all[0].webhook.clone(), Duration::ZERO, true);
        assert_eq!(turns.begin().as_ref(), Some(&all[8]), "whoever has waited longer");
        turns.end(all[1].webhook.clone(), Duration::ZERO, false);
        turns.end(all[2].webhook.clone(), Duration::ZERO, false);
        turns.end(all[3].webhook.clone(), Duration::ZERO, false);
        assert_eq!(begin_all(&mut turns), [all[9].clone(), all[0].clone()]);
    }
}
