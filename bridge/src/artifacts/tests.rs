use super::*;
use axum::body::Body;
use sha2::{Digest, Sha256};

fn artifacts(limits: Limits) -> (tempfile::TempDir, Artifacts) {
    let directory = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(directory.path(), "http://updates.example/", limits).unwrap();
    (directory, artifacts)
}

fn small() -> Limits {
    Limits {
        max_size: 10,
        max_uploads: 1,
        reserve: 0,
    }
}

fn files(artifacts: &Artifacts) -> usize {
    std::fs::read_dir(&artifacts.directory).unwrap().count()
}

#[tokio::test]
async fn a_stored_file_is_whole_hashed_and_named_by_a_token() {
    let (_directory, artifacts) = artifacts(small());
    let stored = artifacts.store(Body::from("firmware"), None).await.unwrap();
    assert_eq!(stored.size, 8);
    assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest("firmware")));
    assert_eq!(stored.token.len(), 64);
    let path = artifacts.path(&stored.token).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"firmware");
    let again = artifacts.store(Body::from("firmware"), None).await.unwrap();
    assert_ne!(again.token, stored.token);
    artifacts.discard(&again).await;
    assert_eq!(files(&artifacts), 1);
}

#[tokio::test]
async fn a_file_above_the_limit_is_refused_and_leaves_nothing() {
    let (_directory, artifacts) = artifacts(small());
    let announced = artifacts.store(Body::from("short"), Some(11)).await;
    assert!(matches!(announced, Err(UploadError::TooLarge { max: 10 })));
    let found = artifacts.store(Body::from("eleven byte"), None).await;
    assert!(matches!(found, Err(UploadError::TooLarge { max: 10 })));
    assert!(
        artifacts
            .store(Body::from("ten bytes!"), None)
            .await
            .is_ok()
    );
    assert_eq!(files(&artifacts), 1);
}

#[tokio::test]
async fn an_upload_never_eats_the_disks_reserve() {
    let limits = Limits {
        reserve: u64::MAX,
        ..small()
    };
    let (_directory, artifacts) = artifacts(limits);
    let refused = artifacts.store(Body::from("x"), Some(1)).await;
    assert!(matches!(refused, Err(UploadError::DiskFull { .. })));
    assert_eq!(files(&artifacts), 0);
}

#[tokio::test]
async fn uploads_beyond_the_limit_and_uploads_that_break_off_leave_nothing() {
    let (_directory, artifacts) = artifacts(small());
    let (send, receive) = tokio::sync::mpsc::channel::<Result<&str, io::Error>>(1);
    let body = Body::from_stream(futures_util::stream::unfold(
        receive,
        async |mut receive| Some((receive.recv().await?, receive)),
    ));
    let first = artifacts.store(body, None);
    let second = async {
        // The first is under way once it takes from the channel.
        send.send(Ok("part")).await.unwrap();
        send.reserve().await.unwrap();
        let second = artifacts.store(Body::from("x"), None).await;
        assert!(matches!(second, Err(UploadError::Busy)));
        send.send(Err(io::ErrorKind::ConnectionReset.into()))
            .await
            .unwrap();
        drop(send);
    };
    let (first, ()) = tokio::join!(first, second);
    assert!(matches!(first, Err(UploadError::Incomplete)), "{first:?}");
    assert_eq!(files(&artifacts), 0);
    assert!(
        artifacts.store(Body::from("x"), None).await.is_ok(),
        "the slot is free again"
    );
}

#[tokio::test]
async fn a_sweep_removes_what_no_image_names() {
    let (_directory, artifacts) = artifacts(small());
    let kept = artifacts.store(Body::from("kept"), None).await.unwrap();
    artifacts.store(Body::from("left"), None).await.unwrap();
    std::fs::write(artifacts.directory.join("upload-abc"), "half").unwrap();
    let keep = HashSet::from([kept.token.clone()]);
    assert_eq!(artifacts.sweep_all_but(&keep).unwrap(), 2);
    assert_eq!(files(&artifacts), 1);
    assert!(artifacts.path(&kept.token).unwrap().exists());
}

#[test]
fn only_a_token_leads_to_a_path() {
    let (_directory, artifacts) = artifacts(small());
    let token = "0f".repeat(32);
    assert!(artifacts.path(&token).is_some());
    for bad in [
        "",
        "..",
        "../tokens.json",
        "/etc/passwd",
        "upload-abc",
        &token[1..],
        &token.to_uppercase(),
    ] {
        assert_eq!(artifacts.path(bad), None, "{bad}");
    }
}
