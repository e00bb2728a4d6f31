// net/http: `client keep|close URL STEP...`.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A body without a length, which is sent in chunks.
type pieces struct {
	size  int
	pause time.Duration
}

func (p *pieces) Read(to []byte) (int, error) {
	if p.size == 0 {
		time.Sleep(p.pause)
		return 0, io.EOF
	}
	n := min(p.size, len(to))
	p.size -= n
	return n, nil
}

func requestOf(url string, words []string) *http.Request {
	kind, size, file := "", 0, ""
	if len(words) > 2 {
		kind, file = words[2], words[3]
		size, _ = strconv.Atoi(file)
	}
	var body io.Reader
	switch kind {
	case "length", "expect":
		body = bytes.NewReader(make([]byte, size))
	case "chunks":
		body = &pieces{size: size}
	case "stall", "stall-chunks":
		body = &pieces{10, time.Duration(size) * time.Millisecond}
	case "gzip":
		text, _ := os.ReadFile(file)
		packed := &bytes.Buffer{}
		packer := gzip.NewWriter(packed)
		packer.Write(text)
		packer.Close()
		body = packed
	}
	request, _ := http.NewRequest(words[0], url+words[1], body)
	switch kind {
	case "expect":
		request.Header.Set("Expect", "100-continue")
	case "stall":
		request.ContentLength = 1000
	case "gzip":
		request.Header.Set("Content-Encoding", "gzip")
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

func main() {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: os.Args[1] == "close", ExpectContinueTimeout: time.Minute,
	}}
	for _, step := range os.Args[3:] {
		words := strings.Fields(step)
		if words[0] == "wait" {
			ms, _ := strconv.Atoi(words[1])
			time.Sleep(time.Duration(ms) * time.Millisecond)
			continue
		}
		answer, err := client.Do(requestOf(os.Args[2], words))
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println(answer.StatusCode, len(text), string(text[:min(len(text), 40)]))
	}
}
