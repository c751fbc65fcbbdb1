"""`dgm cert`: keys, requests, a test PKI and the judgement of chains, in the certificate profile of IEEE 2030.5.

Exit codes: 0 fine, 1 a chain breaks a rule, 2 bad input. A private key is written for its owner only, never over an
existing file, and never printed.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dgm.der.certificates import profile
from dgm.der.certificates.files import read_chain, read_key, write_chain, write_key, write_request
from dgm.der.certificates.lint import Kind, Severity, days_left, lint
from dgm.der.identity import is_valid_pin, lfdi_of, sfdi_of

FAILED = 1
BAD_INPUT = 2

certificates = typer.Typer(no_args_is_help=True, help="Keys, requests, test PKI and checks of 2030.5 certificates.")

ChainFile = Annotated[Path, typer.Argument(help="PEM chain, own certificate first", show_default=False)]
NewFile = Annotated[Path, typer.Argument(help="file to write; must not exist", show_default=False)]
Serial = Annotated[str, typer.Option(help="serial number of the device, for its HardwareModuleName")]
HardwareType = Annotated[str, typer.Option(help="object identifier of the make, below the maker's PEN")]
Hosts = Annotated[list[str] | None, typer.Option("--host", help="name or address; repeat for more")]


@certificates.command()
def key(file: NewFile) -> None:
    """Make a private key on P-256, readable by its owner only."""
    try:
        write_key(file, profile.make_key())
    except OSError as error:
        _refuse(f"{file}: {error.strerror}; choose a new file name in a folder that can be written")
    typer.echo(f"{file}: private key, mode 0600; keep it on this machine")


@certificates.command()
def csr(
    file: NewFile,
    private_key: Annotated[Path, typer.Option("--key", help="private key, made by 'dgm cert key'")],
    serial: Serial = "",
    hardware_type: HardwareType = profile.DEFAULT_HARDWARE_TYPE,
    host: Hosts = None,
) -> None:
    """Make a certificate request: for a device with --serial, for the listener of notifications with --host."""
    if bool(serial) == bool(host):
        _refuse("give --serial for a device or --host for a listener, one of the two")
    if file.exists():
        _refuse(f"{file}: exists; choose a new file name")
    try:
        own = read_key(private_key)
        made = (
            profile.server_request(own, host)
            if host
            else profile.device_request(own, serial=serial, hardware_type=hardware_type)
        )
        write_request(file, made)
    except (OSError, ValueError, TypeError) as error:
        _refuse(
            f"{private_key}: {error}; expected an unencrypted PEM key on P-256, and a serial number and type to name"
        )
    typer.echo(f"{file}: certificate request; have the utility's or maker's authority sign it")


@certificates.command("test-pki")
def make_test_pki(
    directory: Annotated[Path, typer.Argument(help="folder to make", show_default=False)],
    host: Hosts = None,
    serial: Serial = "dgm-test-1",
    hardware_type: HardwareType = profile.DEFAULT_HARDWARE_TYPE,
) -> None:
    """Make a whole chain for tests: root (SERCA), MCA, MICA, a server and a device. Never use it for anything real."""
    if directory.exists() and any(directory.iterdir()):
        _refuse(f"{directory}: not empty; choose a new folder, keys are never overwritten")
    try:
        device = _write_test_pki(directory, host or ["127.0.0.1", "localhost"], serial, hardware_type)
    except (OSError, ValueError) as error:
        _refuse(f"{directory}: {error}")
    typer.echo(f"{directory}: root.pem, server.pem, server.key, device.pem, device.key (keys mode 0600)")
    _echo_identity(device)


def _write_test_pki(directory: Path, hosts: list[str], serial: str, hardware_type: str) -> x509.Certificate:
    root = profile.make_root("DGM test SERCA")
    mca = profile.make_intermediate(root, "DGM test MCA", path_length=1)
    mica = profile.make_intermediate(mca, "DGM test MICA", path_length=0)
    leaves = {
        "server": profile.make_server(mica, hosts),
        "device": profile.make_device(mica, serial=serial, hardware_type=hardware_type),
    }
    directory.mkdir(parents=True, exist_ok=True)
    write_chain(directory / "root.pem", [root.certificate])
    for name, leaf in leaves.items():
        write_chain(directory / f"{name}.pem", [leaf.certificate, *leaf.chain])
        write_key(directory / f"{name}.key", leaf.key)
    return leaves["device"].certificate


@certificates.command("lint")
def lint_chain(
    file: ChainFile,
    kind: Annotated[Kind, typer.Option(help="what the first certificate is for")] = Kind.DEVICE,
    ca: Annotated[Path | None, typer.Option(help="PEM with the root, to judge it and the step to it too")] = None,
) -> None:
    """Judge a chain by the rules of IEEE 2030.5: each broken one by name, with what was found and what to do."""
    chain = _read(file)
    if ca is not None:
        chain += _above(chain[-1], _read(ca))
    findings = lint(chain, kind, datetime.datetime.now(datetime.UTC))
    for finding in findings:
        typer.echo(str(finding))
    failures = sum(finding.severity is Severity.FAILURE for finding in findings)
    typer.echo(f"{file}: {len(chain)} certificate(s), {failures} failure(s), {len(findings) - failures} warning(s)")
    raise typer.Exit(FAILED if failures else 0)


@certificates.command()
def show(
    file: ChainFile,
    pin: Annotated[str, typer.Option(help="registration PIN to check, 6 digits")] = "",
) -> None:
    """Show who a device is: LFDI, SFDI, validity, and whether a PIN is one."""
    certificate = _read(file)[0]
    _echo_identity(certificate)
    left = days_left(certificate, datetime.datetime.now(datetime.UTC))
    typer.echo(f"ends  {'never' if left is None else f'{certificate.not_valid_after_utc:%Y-%m-%d}, in {left} days'}")
    if pin:
        good = is_valid_pin(pin)
        typer.echo(f"PIN   {pin}: {'check digit fits' if good else 'not 6 digits whose sum is a multiple of 10'}")
        raise typer.Exit(0 if good else FAILED)


def _above(last: x509.Certificate, roots: list[x509.Certificate]) -> list[x509.Certificate]:
    """The root that issued the last certificate; without a match the first, so that the gap is told."""
    if last in roots:
        return []
    return [root for root in roots if root.subject == last.issuer][:1] or roots[:1]


def _echo_identity(certificate: x509.Certificate) -> None:
    lfdi = lfdi_of(certificate.public_bytes(Encoding.DER))
    typer.echo(f"LFDI  {lfdi}")
    typer.echo(f"SFDI  {sfdi_of(lfdi):012d}")


def _read(file: Path) -> list[x509.Certificate]:
    try:
        return read_chain(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _refuse(f"{file}: {reason}; expected PEM certificates")


def _refuse(reason: str) -> NoReturn:
    typer.echo(f"dgm cert: {reason}", err=True)
    raise typer.Exit(BAD_INPUT)
