#!/bin/sh
# mmdebstrap's essential hook: the users have the ids of the official images, which Debian's packages then keep.
# Both are 999, because each image has one of them.
set -eu
printf '%s:x:999:\n' postgres mysql >>"$1/etc/group"
printf '%s:x:999:999::/var/lib/%s:/bin/bash\n' postgres postgresql mysql mysql >>"$1/etc/passwd"
