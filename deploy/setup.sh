#!/bin/sh
# Sees to it that a local Kafka can be started: with Docker, or from a Java runtime and the jars that Maven resolves.
# Where neither is there, it installs Java and Maven on Debian and its relatives, when run as root; elsewhere it says
# what to install. Done at once when nothing is missing, or when WEFT_KAFKA names a broker that is there already.
set -eu

java_version_min=17

has() { command -v "$1" >/dev/null 2>&1; }
say() { echo "setup: $*" >&2; }

java_fits() {
    java=java
    if [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ]; then java=$JAVA_HOME/bin/java; fi
    has "$java" || return 1
    version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge "$java_version_min" ]
}

docker_answers() { has docker && docker info >/dev/null 2>&1; }

# The first Java that this release has; the newest ones have several, the older ones only some.
java_package() {
    for version in 21 17 25; do
        package=openjdk-$version-jre-headless
        if [ -n "$(apt-cache search --names-only "^$package\$")" ]; then echo "$package"; return; fi
    done
    echo default-jre-headless
}

install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    packages=
    java_fits || packages=$(java_package)
    has mvn || packages="$packages maven"
    say "installing $packages, this first time only ..."
    # shellcheck disable=SC2086 # several names, apart on purpose
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

if [ -n "${WEFT_KAFKA:-}" ] || { java_fits && has mvn; } || docker_answers; then exit 0; fi

if [ "$(id -u)" = 0 ] && has apt-get; then
    install
    java_fits && has mvn && exit 0
    say "Java and Maven were installed, and yet \`java -version\` is not $java_version_min or later, or \`mvn\` is not there."
    exit 1
fi

say "A local Kafka needs Docker, or Java $java_version_min or later and Maven. None of it is here; install either."
say "Or name a broker that is there already: WEFT_KAFKA=host:port."
exit 1
