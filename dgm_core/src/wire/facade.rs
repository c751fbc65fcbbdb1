//! `FacadeConfig` bytes: what a facade does to know its clients.

use prost::Message;

use super::config::FacadeConfig;
use crate::error::CoreError;

/// How a facade is secured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacadeSecurity {
    /// Paths of certificate chain, private key and CA; `None`: plaintext.
    pub files: Option<(String, String, String)>,
    /// Roles that may write; empty: any client.
    pub write_roles: Vec<String>,
}

/// What `FacadeConfig` bytes say of security.
pub fn decode_facade(bytes: &[u8]) -> Result<FacadeSecurity, CoreError> {
    let config = FacadeConfig::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "FacadeConfig", reason: error.to_string() })?;
    let FacadeConfig { tls, write_roles, .. } = config;
    if tls.is_none() && !write_roles.is_empty() {
        return Err(CoreError::site(
            "write_roles",
            write_roles.join(", "),
            "tls: without certificates nobody has a role",
        ));
    }
    let files = tls.map(|tls| {
        let empty = [("certificate", &tls.certificate), ("private_key", &tls.private_key), ("ca", &tls.ca)]
            .into_iter()
            .find_map(|(name, path)| path.is_empty().then_some(name));
        match empty {
            Some(name) => Err(CoreError::site(format!("tls.{name}"), "nothing", "the path of a PEM file")),
            None => Ok((tls.certificate, tls.private_key, tls.ca)),
        }
    });
    Ok(FacadeSecurity { files: files.transpose()?, write_roles })
}
