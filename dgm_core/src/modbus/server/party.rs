//! Who speaks to the server: what a write is attributed to and what rights hang on.

/// One client. Its port counts for its name only, so that a client gains nothing by connecting again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Address and port, for people.
    pub name: String,
    /// Its IP address as a number (IPv4 as mapped into IPv6): what is reckoned per client is kept under it.
    pub host: u128,
    /// Role of its certificate; `None` without a certificate or without a role in it (Modbus/TCP Security, R-23).
    pub role: Option<String>,
}

impl Party {
    /// Whether it has one of the roles; an empty list asks for none.
    pub fn has_role(&self, roles: &[String]) -> bool {
        roles.is_empty() || self.role.as_ref().is_some_and(|own| roles.contains(own))
    }
}
