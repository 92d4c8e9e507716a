use super::*;
use axum::body::Body;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

fn artifacts(settings: Settings) -> (tempfile::TempDir, Artifacts) {
    let directory = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(directory.path(), "http://updates.example/", settings).unwrap();
    (directory, artifacts)
}

fn small() -> Settings {
    Settings {
        max_size: 10,
        max_uploads: 1,
        reserve: 0,
        ..Settings::default()
    }
}

fn files(artifacts: &Artifacts) -> usize {
    std::fs::read_dir(artifacts.storage.folder().unwrap())
        .unwrap()
        .count()
}

#[tokio::test]
async fn a_stored_file_is_whole_hashed_and_named_by_a_token() {
    let (_directory, artifacts) = artifacts(small());
    let stored = artifacts
        .store("fw@1", Body::from("firmware"), None, None)
        .await
        .unwrap();
    assert_eq!(stored.size, 8);
    assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest("firmware")));
    assert_eq!(stored.token.len(), 64);
    let path = artifacts.storage.folder().unwrap().join(&stored.token);
    assert_eq!(std::fs::read(path).unwrap(), b"firmware");
    let again = artifacts
        .store("fw@1", Body::from("firmware"), None, None)
        .await
        .unwrap();
    assert_ne!(again.token, stored.token);
    artifacts.discard(&again.token).await;
    assert_eq!(files(&artifacts), 1);
}

#[tokio::test]
async fn a_file_above_the_limit_is_refused_and_leaves_nothing() {
    let (_directory, artifacts) = artifacts(small());
    let announced = artifacts
        .store("fw@1", Body::from("short"), Some(11), None)
        .await;
    assert!(matches!(announced, Err(UploadError::TooLarge { max: 10 })));
    let found = artifacts
        .store("fw@1", Body::from("eleven byte"), None, None)
        .await;
    assert!(matches!(found, Err(UploadError::TooLarge { max: 10 })));
    assert!(
        artifacts
            .store("fw@1", Body::from("ten bytes!"), None, None)
            .await
            .is_ok()
    );
    assert_eq!(files(&artifacts), 1);
}

#[tokio::test]
async fn an_upload_never_eats_the_disks_reserve() {
    let settings = Settings {
        reserve: u64::MAX,
        ..small()
    };
    let (_directory, artifacts) = artifacts(settings);
    let refused = artifacts
        .store("fw@1", Body::from("x"), Some(1), None)
        .await;
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
    let first = artifacts.store("fw@1", body, None, None);
    let second = async {
        // The first is under way once it takes from the channel.
        send.send(Ok("part")).await.unwrap();
        send.reserve().await.unwrap();
        let second = artifacts.store("fw@1", Body::from("x"), None, None).await;
        assert!(matches!(second, Err(UploadError::Busy { max: 1 })));
        send.send(Err(io::ErrorKind::ConnectionReset.into()))
            .await
            .unwrap();
        drop(send);
    };
    let (first, ()) = tokio::join!(first, second);
    assert!(matches!(first, Err(UploadError::Incomplete)), "{first:?}");
    assert_eq!(files(&artifacts), 0);
    assert!(
        artifacts
            .store("fw@1", Body::from("x"), None, None)
            .await
            .is_ok(),
        "the slot is free again"
    );
}

#[tokio::test]
async fn a_sweep_removes_what_no_image_names() {
    let (_directory, artifacts) = artifacts(small());
    let kept = artifacts
        .store("fw@1", Body::from("kept"), None, None)
        .await
        .unwrap();
    artifacts
        .store("fw@1", Body::from("left"), None, None)
        .await
        .unwrap();
    std::fs::write(
        artifacts.storage.folder().unwrap().join("upload-abc"),
        "half",
    )
    .unwrap();
    let keep = HashSet::from([kept.token.clone()]);
    assert_eq!(artifacts.storage.sweep(&keep).await.unwrap(), 2);
    assert_eq!(files(&artifacts), 1);
    assert_eq!(artifacts.storage.size(&kept.token).await.unwrap(), 4);
}

#[tokio::test]
async fn a_file_that_is_not_the_expected_one_never_gets_a_name() {
    let (_directory, artifacts) = artifacts(small());
    let expected = Sha256::digest("firmware").into();
    let other = artifacts.store("fw@1", Body::from("firmwarf"), None, Some(expected));
    assert!(matches!(other.await, Err(UploadError::OtherDigest { .. })));
    assert_eq!(files(&artifacts), 0);
    let same = artifacts.store("fw@1", Body::from("firmware"), None, Some(expected));
    assert!(same.await.is_ok());
}

#[test]
fn a_full_disk_is_found_wherever_the_storage_hides_it() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let hidden = object_store::Error::Generic {
        store: "LocalFileSystem",
        source: Box::new(Hiding(full)),
    };
    let found = UploadError::from(hidden);
    assert!(
        matches!(&found, UploadError::Write(error) if error.kind() == io::ErrorKind::StorageFull),
        "{found:?}"
    );
}

#[derive(Debug, thiserror::Error)]
#[error("it cannot be written")]
struct Hiding(#[source] io::Error);
