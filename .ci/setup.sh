# Sourced by run.sh and test.sh: makes .venv and installs what is needed. setup EXTRAS...   (workbench, test)
say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

missing_gl() {
    local libs
    libs=$( (ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null) || true)
    case "$libs" in *libEGL.so.1*) ;; *) return 0 ;; esac
    case "$libs" in *libEGL_mesa.so.0* | *libEGL_nvidia.so.0*) return 1 ;; *) return 0 ;; esac
}

apt_install() { # packages
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || return 1
    say "Installing with apt-get: $*"
    if [ -z "${APT_UPDATED:-}" ]; then apt-get update -qq >&2 && APT_UPDATED=1; fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_python() {
    local name
    for name in "${PYTHON:-}" python3.12 python3.11 python3.13 python3 python3.10; do
        [ -n "$name" ] || continue
        if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            printf '%s' "$name"
            return 0
        fi
    done
    return 1
}

make_venv() {
    local python version
    if ! python=$(find_python); then
        apt_install python3 python3-venv || stop "Python 3.10 to 3.13 is needed and was not found; install python3 and python3-venv, then run this again."
        python=$(find_python) || stop "This system's Python is not 3.10 to 3.13; install Python 3.11 or 3.12, then run this again."
    fi
    if [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1; then return 0; fi
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        apt_install "$version" || apt_install python3-venv || stop "Python's venv module is missing; install the package $version, then run this again."
        "$python" -m venv .venv || stop "Could not make the environment .venv; check that this folder can be written."
    fi
}

setup() { # extras
    local extras want have
    extras=$(IFS=,; printf '%s' "$*")
    make_venv
    want="$extras $(cksum < pyproject.toml)"
    have=$(cat .venv/installed 2>/dev/null || true)
    if [ "$want" != "$have" ]; then
        say "Installing Python packages into .venv (once; a few minutes) ..."
        .venv/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0 || stop "PyTorch 2.13.0 could not be installed; check the network or the package index, then run this again."
        .venv/bin/python -m pip install -q --disable-pip-version-check -e ".[$extras]" || stop "The packages of pyproject.toml could not be installed; the lines above say which."
        printf '%s' "$want" > .venv/installed
    fi
    if [ "$(uname)" = Linux ] && missing_gl; then
        apt_install libegl1 libegl-mesa0 libgl1-mesa-dri libxkbcommon0 libdbus-1-3 libfontconfig1 \
            || say "Viewers need the Debian packages libegl1 libegl-mesa0 libgl1-mesa-dri; install them to see images."
    fi
}

setup_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do command -v "$name" >/dev/null && return 0; done
    apt_install chromium || say "Browser tests need the package chromium; without it they are skipped."
}

setup_qt() {
    local libs
    libs=$( (ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null) || true)
    case "$libs" in *libxkbcommon.so.0*) ;; *) apt_install libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 || say "Panel tests need the packages libxkbcommon0 libdbus-1-3 libfontconfig1." ;; esac
}
