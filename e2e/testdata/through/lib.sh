# What the lines of the scenarios may use besides kubectl and helm.

# says FILE TEXT waits until the file has a line with the text; the whole line fails when it never comes.
says() {
	for _ in $(seq 600); do grep -q -- "$2" "$1" 2>/dev/null && return 0; sleep 0.05; done
	echo "$1 never said $2:" >&2; cat "$1" >&2; exit 97
}

# in_time COMMAND... must succeed within a minute; what it says until then is nobody's concern.
in_time() {
	for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.4; done
	"$@"
}

# talk WORDS... is something that the containers called talker, of both sides, say.
talk() { echo "$(date -u +%Y-%m-%dT%H:%M:%S.%NZ) stdout F $*" >>"$TALKER"; }

# aside COMMAND... runs it aside, with its output in ./aside, until the line ends or calls ended.
aside() { rm -f aside; "$@" >aside 2>&1 & aside=$!; }

# ended ends what runs aside.
ended() { kill "$aside"; wait "$aside" || true; }

# of_side FILE is the file with the side's letter in it, for what has no namespace.
of_side() { sed "s/SIDE/$SIDE/g" "$1"; }

# fetch PORT PATH says what a server of this machine answers. It reads no further than the answer goes: not every way passes a half-closed
# connection on.
fetch() {
	local line='' length=''
	exec 3<>"/dev/tcp/127.0.0.1/$1"
	printf 'GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n' "$2" >&3
	while IFS= read -r line <&3 && line=${line%$'\r'} && test -n "$line"; do
		case $line in Content-Length:*) length=${line#*: } ;; Date:* | Audit-Id:*) continue ;; esac
		echo "$line"
	done
	if test -n "$length"; then head -c "$length" <&3; else sed -u '/^0\r*$/q' <&3; fi
	echo
	exec 3>&-
}

# port is the port that the command aside has chosen.
port() { sed -n 's/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' aside | head -n 1; }
