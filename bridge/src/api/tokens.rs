//! Bearer tokens of people and programs, and robots' credentials: 256 random bits each, kept as SHA-256 only.
//!
//! At the first start one token per role is made. `tokens.json` holds names, roles and digests; the tokens themselves
//! lie beside it in `admin.token`, `operator.token` and `viewer.token`, for the command line and to be handed out. All
//! are readable by their owner only. Another token is added by adding its entry to `tokens.json` before a start.

use crate::{hex, private_file};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// The file of digests.
pub const TOKENS_FILE: &str = "tokens.json";
/// The file that holds the admin token.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";

/// What a token allows; each role may do what the roles before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything, change nothing.
    Viewer,
    /// Groups, images and rollouts.
    Operator,
    /// Robots and their credentials too.
    Admin,
}

impl Role {
    /// The role's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; the actor in the history.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// The tokens that are accepted.
#[derive(Debug)]
pub struct Tokens {
    known: Vec<([u8; 32], Caller)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: Role,
    sha256: String,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("token file {} cannot be used", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file of digests is damaged.
    #[error(
        "token file {} is not valid: {why}; repair it, or remove it to have new tokens made at the next start",
        .path.display()
    )]
    Invalid {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// A new secret: 256 random bits as 43 characters of base64url.
#[must_use]
pub fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is stored of a secret: the SHA-256 of its characters.
#[must_use]
pub fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Compares in a time that does not depend on the contents.
#[must_use]
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

impl Tokens {
    /// Reads the tokens of the data directory, which must exist; makes them if it has none.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn open_or_create(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(TOKENS_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(&bytes).map_err(|why| Error::Invalid { path, why }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(data_dir),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut known: Vec<([u8; 32], Caller)> = Vec::new();
        for Entry { name, role, sha256 } in file.tokens {
            let digest = hex::decode(&sha256).ok_or_else(|| {
                format!("sha256 of token {name:?} is not 64 lower-case hexadecimal digits")
            })?;
            if name.is_empty() || known.iter().any(|(_, caller)| caller.name == name) {
                return Err(format!("token name {name:?} is empty or used twice"));
            }
            known.push((digest, Caller { name, role }));
        }
        Ok(Self { known })
    }

    fn create(data_dir: &Path) -> Result<Self, Error> {
        let mut known = Vec::new();
        for role in [Role::Admin, Role::Operator, Role::Viewer] {
            let token = secret();
            // Digests are written last: a start that was cut short before that begins anew.
            write_private(
                data_dir,
                &format!("{}.token", role.name()),
                &format!("{token}\n"),
            )?;
            let name = role.name().to_owned();
            known.push((digest(token.as_bytes()), Caller { name, role }));
        }
        let entry = |(digest, caller): &([u8; 32], Caller)| Entry {
            name: caller.name.clone(),
            role: caller.role,
            sha256: hex::encode(digest),
        };
        let file = File {
            tokens: known.iter().map(entry).collect(),
        };
        let text = serde_json::to_string_pretty(&file).map_err(|error| Error::Invalid {
            path: data_dir.join(TOKENS_FILE),
            why: error.to_string(),
        })?;
        write_private(data_dir, TOKENS_FILE, &text)?;
        Ok(Self { known })
    }

    /// Whose token this is.
    #[must_use]
    pub fn caller(&self, token: &str) -> Option<&Caller> {
        let presented = digest(token.as_bytes());
        // Every entry is looked at, so that the time says nothing of which one matched.
        self.known.iter().fold(None, |found, (digest, caller)| {
            if same(digest, &presented) {
                Some(caller)
            } else {
                found
            }
        })
    }
}

fn write_private(directory: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = directory.join(name);
    private_file::write(&path, text.as_bytes()).map_err(|source| Error::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn token(directory: &Path, role: Role) -> String {
        let text = std::fs::read_to_string(directory.join(format!("{}.token", role.name())));
        text.unwrap().trim().to_owned()
    }

    #[test]
    fn the_first_start_makes_a_token_per_role_that_later_starts_accept() {
        let directory = tempfile::tempdir().unwrap();
        let made = Tokens::open_or_create(directory.path()).unwrap();
        let read = Tokens::open_or_create(directory.path()).unwrap();
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let token = token(directory.path(), role);
            assert_eq!(token.len(), 43);
            for tokens in [&made, &read] {
                assert_eq!(tokens.caller(&token).unwrap().role, role);
                assert_eq!(tokens.caller(&token[1..]), None);
            }
        }
        assert_eq!(made.caller(""), None);
    }

    #[test]
    fn token_files_are_readable_by_their_owner_only_and_hold_no_token_but_their_own() {
        let directory = tempfile::tempdir().unwrap();
        Tokens::open_or_create(directory.path()).unwrap();
        let admin = token(directory.path(), Role::Admin);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
            let holds = std::fs::read_to_string(&path).unwrap().contains(&admin);
            assert_eq!(
                holds,
                path.ends_with(ADMIN_TOKEN_FILE),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_damaged_token_file_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(TOKENS_FILE);
        let digest = "0".repeat(64);
        for text in [
            String::new(),
            "{\"tokens\":[{\"name\":\"a\",\"role\":\"root\",\"sha256\":\"\"}]}".to_owned(),
            "{\"tokens\":[{\"name\":\"a\",\"role\":\"admin\",\"sha256\":\"ab\"}]}".to_owned(),
            format!(
                "{{\"tokens\":[{{\"name\":\"\",\"role\":\"admin\",\"sha256\":\"{digest}\"}}]}}"
            ),
        ] {
            std::fs::write(&path, &text).unwrap();
            let error = Tokens::open_or_create(directory.path()).unwrap_err();
            assert!(error.to_string().contains("tokens.json"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
