//! The role of a client: a UTF8String under OID 1.3.6.1.4.1.50316.802.1 in its certificate (Modbus/TCP Security v36, 8.4).
//!
//! ```text
//! Certificate ─ tbsCertificate ─ [3] extensions ─ Extension { OID, critical?, OCTET STRING { UTF8String } }
//! ```
//!
//! It reads a certificate that was verified before and checks nothing else of it. The extension must not be marked
//! critical: verifiers refuse critical extensions that they do not know.

/// Longest role, bytes.
pub const ROLE_MAX: usize = 64;
/// Content of the OBJECT IDENTIFIER 1.3.6.1.4.1.50316.802.1.
const ROLE_OID: [u8; 11] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0x89, 0x0c, 0x86, 0x22, 0x01];

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const EXTENSIONS: u8 = 0xa3;

/// Why a certificate has no usable role; its owner then has none (the null role of R-23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleError {
    /// Not the DER of a certificate.
    Malformed,
    /// More than one role extension (R-65 allows one).
    Several,
    /// The extension holds something else than one UTF8String of 1 to `ROLE_MAX` bytes without control characters.
    NotARole,
}

/// The role in a certificate (DER), `None` where it has no role extension.
pub fn role(certificate: &[u8]) -> Result<Option<String>, RoleError> {
    let Some(extensions) = extensions(certificate).ok_or(RoleError::Malformed)? else { return Ok(None) };
    let (mut rest, mut found) = (extensions, None);
    while !rest.is_empty() {
        let (extension, after) = take(rest, SEQUENCE).ok_or(RoleError::Malformed)?;
        rest = after;
        let (oid, body) = take(extension, OBJECT_IDENTIFIER).ok_or(RoleError::Malformed)?;
        if oid == ROLE_OID && found.replace(body).is_some() {
            return Err(RoleError::Several);
        }
    }
    found.map(|body| text(body).ok_or(RoleError::NotARole)).transpose()
}

/// The content of the list of extensions; `Some(None)` for a certificate without.
fn extensions(certificate: &[u8]) -> Option<Option<&[u8]>> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (mut fields, _) = take(certificate, SEQUENCE)?;
    while !fields.is_empty() {
        let (tag, content, after) = next(fields)?;
        if tag == EXTENSIONS {
            return take(content, SEQUENCE).map(|(list, _)| Some(list));
        }
        fields = after;
    }
    Some(None)
}

/// The text behind the OID of an extension.
fn text(body: &[u8]) -> Option<String> {
    let value = take(body, BOOLEAN).map_or(body, |(_, after)| after);
    let (value, _) = take(value, OCTET_STRING).filter(|(_, after)| after.is_empty())?;
    let (text, _) = take(value, UTF8_STRING).filter(|(_, after)| after.is_empty())?;
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = (1..=ROLE_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    is_plain.then(|| text.to_owned())
}

/// The content of the next element, which must have this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, after) = next(bytes)?;
    (found == tag).then_some((content, after))
}

/// Tag and content of the next element of DER, and what follows it. Lengths up to 65535.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (length, rest) = match bytes.get(1..)? {
        [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((*bytes.first()?, content, after))
}

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
