//! `rollcall serve`: what it needs to start, and how it says what is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod cli_support;

use cli_support::{ANY, Rollcall, program, serve};

#[test]
fn a_wrong_configuration_ends_with_code_2_and_names_file_key_and_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rollcall.toml");
    for (text, says) in [
        (
            "[mqtt]\naddress = \"0.0.0.0:1883\"",
            &["mqtt.address", "0.0.0.0:1883", "allow_remote_plain"][..],
        ),
        ("[mqtt]\nadress = \"127.0.0.1:1883\"", &["adress", "line 2"]),
        (
            "realm = \"Not A Realm\"",
            &["realm", "Not A Realm", "lower-case"],
        ),
        (
            "[store]\nreserve = \"much\"",
            &["reserve", "256 MB", "line 2"],
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = program()
            .arg("serve")
            .arg("--config")
            .arg(&path)
            .current_dir(&directory)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {err}");
        assert!(err.contains("rollcall.toml"), "{err}");
        for part in says {
            assert!(err.contains(part), "{text}: {part:?} is not in {err}");
        }
    }
    assert_eq!(
        std::fs::read_dir(&directory).unwrap().count(),
        1,
        "nothing was begun"
    );
    let flag = program()
        .args(["serve", "--http", "192.0.2.1:80"])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert_eq!(flag.status.code(), Some(2));
    let missing = program()
        .args(["serve", "--config", "/does/not/exist"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_data_directory_in_use_is_refused_by_name() {
    let rollcall = Rollcall::new();
    let second = serve(ANY, &rollcall.data()).output().unwrap();
    let err = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{err}");
    assert!(err.contains(rollcall.data().to_str().unwrap()), "{err}");
    rollcall.ok(&["robot", "ls"]);
}

#[test]
fn an_address_in_use_is_refused_with_the_flag_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let output = serve(&address, &directory.path().join("data"))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains(&address) && err.contains("--http"), "{err}");
}
