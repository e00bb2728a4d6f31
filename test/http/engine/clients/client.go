// net/http: `go run client.go keep|close|cut URL COUNT`.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

type endless struct{ sent int }

func (e *endless) Read(p []byte) (int, error) {
	if e.sent > 100_000 {
		os.Exit(0)
	}
	e.sent += len(p)
	return len(p), nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	mode, url := os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	must(err)
	if mode == "cut" {
		_, err := http.Post(url+"/loud/cut", "text/plain", &endless{})
		must(err)
		return
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: mode == "close"}}
	for n := 0; n < count; n++ {
		method, body := "GET", io.Reader(nil)
		if n%3 > 0 {
			method, body = "POST", bytes.NewReader(make([]byte, 5_000))
		}
		if n%3 == 1 {
			// Its length is not known, so it is sent in chunks.
			body = io.MultiReader(body)
		}
		request, err := http.NewRequest(method, fmt.Sprintf("%s/loud/%d", url, n), body)
		must(err)
		if n%3 == 2 {
			request.Header.Set("Expect", "100-continue")
		}
		answer, err := client.Do(request)
		must(err)
		text, err := io.ReadAll(answer.Body)
		must(err)
		answer.Body.Close()
		if answer.StatusCode != 200 || string(text) != fmt.Sprintf("answer to /%d", n) {
			must(fmt.Errorf("%d: %s %s", n, answer.Status, text))
		}
	}
	fmt.Println("done")
}
