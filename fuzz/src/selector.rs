//! Selectors: whatever people write, and what is printed means the same.

use rollcall_engine::Selector;

/// The text of a selector.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Selector>() {
        Ok(selector) => {
            let printed = selector.to_string();
            let again: Selector = printed.parse().expect("what is printed can be read");
            assert!(again == selector, "{printed} says the same as {text}");
            assert_eq!(again.to_string(), printed, "and is printed the same");
        }
        Err(error) => assert!(error.offset <= text.len()),
    }
}
