//! The PEM files of one end of Modbus/TCP Security, and what is wrong with them.
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::RootCertStore;

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Chain, own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub private_key: PathBuf,
    /// Certificates of those who may have signed the other end's.
    pub ca: PathBuf,
}

/// What the files hold.
pub(super) struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub roots: RootCertStore,
}

/// When each file was changed last; `None` where it cannot be told.
pub type Stamp = [Option<SystemTime>; 3];

impl TlsFiles {
    /// Changes when a file does.
    pub fn stamp(&self) -> Stamp {
        [&self.certificate, &self.private_key, &self.ca]
            .map(|path| path.metadata().and_then(|file| file.modified()).ok())
    }

    pub(super) fn read(&self) -> Result<Identity, TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.private_key)
            .map_err(|error| TlsError::file(&self.private_key, &error, "a private key"))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| TlsError::authority(self, &error))?;
        }
        Ok(Identity { chain, key, roots })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(chain) if chain.is_empty() => Err(TlsError::file(path, &pem::Error::NoItemsFound, "certificates")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(TlsError::file(path, &error, "certificates")),
    }
}

/// What is wrong with one of the files: which, what was found, what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    place: String,
    found: String,
    expected: &'static str,
}

impl TlsError {
    fn file(path: &Path, error: &pem::Error, expected: &'static str) -> Self {
        let found = match error {
            pem::Error::Io(error) => error.to_string(),
            pem::Error::NoItemsFound => "none".to_owned(),
            other => other.to_string(),
        };
        Self { place: path.display().to_string(), found, expected }
    }

    pub(super) fn authority(files: &TlsFiles, error: &dyn fmt::Display) -> Self {
        let expected = "certificates of the authorities that sign the other end's";
        Self { place: files.ca.display().to_string(), found: error.to_string(), expected }
    }

    pub(super) fn unusable(files: &TlsFiles, error: &dyn fmt::Display) -> Self {
        let place = format!("{} with {}", files.certificate.display(), files.private_key.display());
        Self { place, found: error.to_string(), expected: "a certificate and its own private key" }
    }

    pub(super) fn name(name: &str) -> Self {
        let expected = "the DNS name or IP address in the device's certificate";
        Self { place: "server_name".to_owned(), found: name.to_owned(), expected }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}; expected {} in PEM", self.place, self.found, self.expected)
    }
}

impl std::error::Error for TlsError {}
