import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { HTTP } from 'cloudevents'
import { eventRequest } from '../../../src/apis/apis.js'
import { requestOf } from '../../../src/webhooks/record-request.js'
import { answerOf, EndpointStage, type Receiver } from './endpoint-stage.js'

/** What an SDK has read of a request. */
interface Read {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
  readonly tenant: string
  /** In base64. */
  readonly data: string
}

const PYTHON = `
import base64, json, sys
from cloudevents.http import from_http
events = []
for case in json.load(sys.stdin):
    event = from_http(case['headers'], base64.b64decode(case['body']), data_unmarshaller=lambda data: data)
    one = {name: event[name] for name in ('id', 'source', 'type', 'subject', 'tenant')}
    events.append({**one, 'data': base64.b64encode(event.data).decode()})
print(json.dumps(events))
`

const GO = `
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

func main() {
	var cases []struct {
		Headers map[string]string
		Body    string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	events := []map[string]any{}
	for _, one := range cases {
		body, _ := base64.StdEncoding.DecodeString(one.Body)
		request, _ := http.NewRequest("POST", "http://localhost/", bytes.NewReader(body))
		for name, value := range one.Headers {
			request.Header.Set(name, value)
		}
		event, err := cloudevents.NewEventFromHTTPRequest(request)
		if err != nil {
			panic(err)
		}
		if err := event.Validate(); err != nil {
			panic(err)
		}
		events = append(events, map[string]any{
			"id": event.ID(), "source": event.Source(), "type": event.Type(), "subject": event.Subject(),
			"tenant": event.Extensions()["tenant"], "data": base64.StdEncoding.EncodeToString(event.Data()),
		})
	}
	json.NewEncoder(os.Stdout).Encode(events)
}
`

const sdks = [
  {
    name: 'Python',
    files: { 'read.py': PYTHON },
    install: ['python3', '-m', 'pip', 'install', '--quiet', '--target', '.', 'cloudevents==1.12.0'],
    command: ['python3', 'read.py']
  },
  {
    name: 'Go',
    files: { 'go.mod': 'module read\ngo 1.21\n', 'read.go': GO },
    install: ['go', 'get', 'github.com/cloudevents/sdk-go/v2@v2.15.2'],
    command: ['go', 'run', '.']
  }
] as const

const bodies: readonly (readonly [contentType: string, body: Buffer])[] = [
  ['application/json', Buffer.from('{"name":"Jürgen 🚲"}')],
  ['application/octet-stream', Buffer.from([0, 255, 1, 254])],
  ['text/plain', Buffer.alloc(100_000, 'x')]
]

describe('requests of webhooks with events', () => {
  let stage: EndpointStage
  let receiver: Receiver

  beforeEach(async () => {
    stage = new EndpointStage()
    receiver = await stage.receiver()
    const endpoint = stage.endpoint(`http://127.0.0.1:${receiver.port}/`)
    for (const [at, [contentType, value]] of bodies.entries()) {
      const attributes = { ce_specversion: '1.0', ce_id: `id-${at}`, ce_source: '/shop/a', ce_type: 'order.placed' }
      const more = { ce_subject: 'plain', ce_tenant: 'eu', 'content-type': contentType }
      const headers = Object.entries({ ...attributes, ...more }).map(([key, text]) => ({
        key,
        value: Buffer.from(text)
      }))
      const record = { offset: at, timestampMs: 0, key: null, value, headers }
      const definition = { topic: 'orders', format: 'cloudevents', contentType: 'text/plain' } as const
      const settings = { maxBodyBytes: 1024 * 1024, recordHeaders: [], eventOf: eventRequest }
      const request = requestOf(definition, `id-0-${at}`, 0, record as never, 1, settings)
      if ('unsendable' in request) throw new Error(request.unsendable)
      expect(answerOf(await endpoint.send({ ...request.attempt, timeoutMs: 10_000 }))).to.equal(204)
    }
  })
  afterEach(() => stage.close())

  const expected = (): readonly Read[] =>
    bodies.map(([, body], at) => ({
      id: `id-${at}`,
      source: '/shop/a',
      type: 'order.placed',
      subject: 'plain',
      tenant: 'eu',
      data: body.toString('base64')
    }))

  it('are read by the SDK of JavaScript', () => {
    for (const [at, { headers, body }] of receiver.received.entries()) {
      const event = HTTP.toEvent({ headers: Object.fromEntries(headers), body: body as never })
      if (Array.isArray(event)) throw new Error('more than one event')
      const { id, source, type, subject, tenant } = event as unknown as Read
      expect({ id, source, type, subject, tenant }).to.deep.equal((({ data: _, ...rest }) => rest)(expected()[at]!))
    }
  })

  for (const { name, files, install, command } of sdks) {
    it(`are read by the SDK of ${name}`, function () {
      const folder = mkdtempSync(join(tmpdir(), 'castellan-webhooks-'))
      try {
        for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
        const [installer = '', ...args] = install
        if (spawnSync(installer, args, { cwd: folder }).status !== 0) {
          console.error(`!!! SKIPPED: the SDK of ${name} cannot be installed; it reads nothing`)
          this.skip()
        }
        const cases = receiver.received.map(({ headers, body }) => ({
          headers: Object.fromEntries(headers),
          body: body.toString('base64')
        }))
        const [reader = '', ...words] = command
        const { stdout, stderr } = spawnSync(reader, words, { cwd: folder, input: JSON.stringify(cases) })
        expect(stderr.toString()).to.equal('')
        expect(JSON.parse(stdout.toString())).to.deep.equal(expected())
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  }
})
