# curl or wget, one process for each step: `bash client.sh 'curl FLAGS'|wget URL STEP...`.
tool=$1 url=$2 folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder" || exit 1

ask() {
  local method=$1 path=$2 kind=$3 size=$4
  case $kind in
    length | chunks | expect) head -c "$size" /dev/zero > body ;;
  esac
  if [ "$tool" = wget ]; then
    case $kind in
      '') set -- --method="$method" ;;
      length) set -- --post-file=body ;;
      *) echo cannot; return ;;
    esac
    wget -t 1 -S --content-on-error -O answer "$@" "$url$path" 2> log
    # The server has refused the request.
    case $? in 0 | 8) echo "$(grep -oE 'HTTP/1.1 [0-9]+' log | tail -1 | cut -c10-) $(stat -c %s answer 2> log || echo 0)" ;; *) echo error ;; esac
    return
  fi
  case $kind in
    '') set -- ;;
    expect) set -- --data-binary @body -H 'Expect: 100-continue' ;;
    length) set -- --data-binary @body -H Expect: ;;
    chunks) set -- --data-binary @body -H Expect: -H 'Transfer-Encoding: chunked' ;;
    stall) set -- -X POST -T - -H Expect: -H 'Content-Length: 1000' ;;
    stall-chunks) set -- -X POST -T - -H Expect: ;;
  esac
  if [ "$method" = HEAD ]; then set -- -I; fi
  stalled() { case $kind in stall*) printf 0123456789; sleep "${size}e-3" ;; esac; }
  stalled | $tool -sS -o answer -w '%{http_code} %{size_download}\n' "$@" "$url$path" 2> log > said && cat said || echo error
}

for step in "${@:3}"; do
  # shellcheck disable=SC2086
  if [[ $step == wait* ]]; then sleep "${step#wait }e-3"; else ask $step; fi
done
