//! Anchors, carried out.

use leasehold_broker::End;
use leasehold_lease::HolderState;
use leasehold_model::{AnchorEpoch, Failure, Holder};

use crate::fake::FakeProvider;
use crate::lab::Lab;

#[tokio::test(start_paused = true)]
async fn leases_hang_on_an_anchor_that_is_given_back_after_them() {
    let mut lab = Lab::anchored(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    let provider = std::sync::Arc::clone(&lab.provider);
    assert_eq!(provider.issued_on(), [Holder::Anchor(AnchorEpoch::FIRST)]);
    assert_eq!(provider.anchors(), 1);
    let holders = lab.control.holders().await.expect("the broker runs");
    let current = |it: &&leasehold_broker::HolderStatus| it.state == HolderState::Current;
    assert_eq!(holders.iter().filter(current).count(), 2, "{holders:?}");

    assert_eq!(lab.stop().await, End::default());
    assert_eq!(
        provider.revoked(),
        ["lease-1"],
        "by name, and not with its anchor"
    );
    assert_eq!(provider.anchors(), 0);
    assert!(!provider.has_session());
}

#[tokio::test(start_paused = true)]
async fn an_issue_that_may_have_leaked_has_its_anchor_replaced() {
    let mut lab = Lab::anchored(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let provider = std::sync::Arc::clone(&lab.provider);
    provider.fail_only(crate::fake::Operation::Fetch, Failure::MaybeIssued);
    let lab = lab.run();
    lab.until(|it| it.provider.anchors() > 0).await;
    lab.until(|it| it.metrics().contains("outcome=\"maybe_issued\""))
        .await;
    provider.fail_with(None);
    drop(lab.ready(&handle).await);
    lab.until(|it| {
        let ended = "leasehold_anchor_events_total{provider=\"fake\",event=\"ended\"} 1";
        it.metrics().contains(ended)
    })
    .await;
    assert_eq!(provider.anchors(), 1, "and another is there");
    let first = Holder::Anchor(AnchorEpoch::FIRST);
    assert_ne!(provider.issued_on().last(), Some(&first));
    assert_eq!(lab.stop().await, End::default());
}
