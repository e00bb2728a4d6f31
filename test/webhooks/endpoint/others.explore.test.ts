import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Webhook } from 'standardwebhooks'
import { newSecret } from '../../../src/webhooks/endpoint/signature.js'
import { TestAuthority } from '../../support/certificates.js'
import { answerOf, attempt, EndpointStage, type Receiver } from './endpoint-stage.js'
import { largestRequests } from './largest-requests.js'

const PYTHON = `
import json, sys
from standardwebhooks import Webhook
for case in json.load(sys.stdin):
    for secret in case['secrets']:
        Webhook(secret).verify(case['body'], case['headers'])
    try:
        Webhook(case['secrets'][0]).verify(case['body'] + ' ', case['headers'])
        sys.exit('took another body')
    except Exception:
        pass
print('verified')
`

const GO = `
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type request struct {
	Secrets []string
	Body    string
	Headers map[string]string
}

func main() {
	var cases []request
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	for _, one := range cases {
		headers := http.Header{}
		for name, value := range one.Headers {
			headers.Set(name, value)
		}
		for _, secret := range one.Secrets {
			webhook, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				panic(err)
			}
			if err := webhook.Verify([]byte(one.Body), headers); err != nil {
				panic(err)
			}
			if webhook.Verify([]byte(one.Body+" "), headers) == nil {
				panic("took another body")
			}
		}
	}
	fmt.Println("verified")
}
`

/** Packages of Standard Webhooks, and how each verifies the requests on its stdin. */
const verifiers = [
  {
    name: 'Python',
    files: { 'verify.py': PYTHON },
    install: ['python3', '-m', 'pip', 'install', '--quiet', '--target', '.', 'standardwebhooks==1.1.0'],
    command: ['python3', 'verify.py']
  },
  {
    name: 'Go',
    files: { 'go.mod': 'module verify\ngo 1.21\n', 'verify.go': GO },
    install: ['go', 'get', 'github.com/standard-webhooks/standard-webhooks/libraries@v0.0.1'],
    command: ['go', 'run', '.']
  }
] as const

/** What takes TLS with the certificate in `pem`, and sends on to the endpoint. */
const proxies = [
  {
    name: 'nginx',
    config: (folder: string, port: number, to: number) => `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${folder}/client;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  client_max_body_size 2m;
  keepalive_requests 7;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${folder}/pem;
    ssl_certificate_key ${folder}/pem;
    location / { proxy_pass http://127.0.0.1:${to}; }
  }
}
`,
    command: (config: string, folder: string) => ['nginx', '-p', folder, '-e', `${folder}/error.log`, '-c', config]
  },
  {
    name: 'haproxy',
    config: (folder: string, port: number, to: number) => `
defaults
  mode http
  timeout connect 10s
  timeout client 10s
  timeout server 10s
  timeout http-keep-alive 50ms
frontend front
  bind 127.0.0.1:${port} ssl crt ${folder}/pem
  default_backend endpoint
backend endpoint
  server one 127.0.0.1:${to}
`,
    command: (config: string) => ['haproxy', '-db', '-f', config]
  }
] as const

describe('requests of webhooks', () => {
  const authority = new TestAuthority()
  let stage: EndpointStage
  let receiver: Receiver
  let folder: string

  beforeEach(async () => {
    stage = new EndpointStage()
    stage.now = Date.now()
    receiver = await stage.receiver()
    folder = mkdtempSync(join(tmpdir(), 'castellan-webhooks-'))
  })
  afterEach(async () => {
    await stage.close()
    rmSync(folder, { recursive: true })
  })

  for (const { name, files, install, command } of verifiers) {
    it(`are verified by the package of ${name}`, async function () {
      for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
      const [installer = '', ...args] = install
      if (spawnSync(installer, args, { cwd: folder }).status !== 0) {
        console.error(`!!! SKIPPED: the package of ${name} cannot be installed; it verifies nothing`)
        this.skip()
      }
      const secrets = [newSecret(), newSecret()]
      const endpoint = stage.endpoint(`http://127.0.0.1:${receiver.port}/`, { secrets })
      for (const body of ['{"a":1}', '{"name":"Jürgen 🚲"}', `{"a":"${'x'.repeat(100_000)}"}`])
        expect(answerOf(await endpoint.send(attempt({ body: Buffer.from(body) })))).to.equal(204)
      const cases = receiver.received.map(({ headers, body }) => ({
        secrets,
        body: body.toString(),
        headers: Object.fromEntries(headers)
      }))
      const [verifier = '', ...words] = command
      const { stdout, stderr } = spawnSync(verifier, words, { cwd: folder, input: JSON.stringify(cases) })
      expect(`${stdout}${stderr}`).to.equal('verified\n')
    })
  }

  for (const { name, config, command } of proxies) {
    it(`come through ${name} with a certificate of a private authority, all of them`, async function () {
      if (spawnSync(name, ['-v']).status !== 0) {
        console.error(`!!! SKIPPED: ${name} is not installed; nothing is tested behind it`)
        this.skip()
      }
      const port = await freePort()
      const { cert, key } = authority.issue({ commonName: '', alternativeNames: ['IP:127.0.0.1'] })
      writeFileSync(join(folder, 'pem'), `${cert}${key}`)
      writeFileSync(join(folder, 'config'), config(folder, port, receiver.port))
      const [program = '', ...args] = command(join(folder, 'config'), folder)
      const proxy = spawn(program, args, { stdio: 'ignore' })
      try {
        await listens(port)
        const secret = newSecret()
        stage.share({ ca: authority.cert })
        const endpoint = stage.endpoint(`https://127.0.0.1:${port}/hooks`, { secrets: [secret] })
        const answers = await sendAll(endpoint.send.bind(endpoint), 300)
        expect(answers).to.deep.equal(new Map([[204, 300]]))
        expect(receiver.received.length).to.be.at.least(300)
        for (const { body, headers } of receiver.received)
          expect(new Webhook(secret).verify(body, Object.fromEntries(headers))).to.be.an('object')
        const { settings, attempts } = largestRequests(`https://127.0.0.1:${port}/`)
        const largest = stage.endpoint(settings.url, settings)
        for (const one of attempts) expect(answerOf(await largest.send(one)), 'the largest head').to.equal(204)
      } finally {
        await end(proxy)
      }
    })
  }
})

async function sendAll(
  send: (one: ReturnType<typeof attempt>) => Promise<Parameters<typeof answerOf>[0]>,
  count: number
): Promise<ReadonlyMap<number | string, number>> {
  const answers = new Map<number | string, number>()
  let left = count
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const body = Buffer.from(JSON.stringify({ text: 'x'.repeat(left % 50 === 0 ? 1_000_000 : left) }))
      const headers = [['x-castellan-key', 'k'.repeat(4_096)] as const]
      const answer = answerOf(await send(attempt({ id: `AAAA-0-${left}`, body, headers })))
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
      // Some find that the proxy has closed an idle connection.
      if (left % 20 === 0) await sleep(60)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return answers
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { readonly port: number }
  server.close()
  await once(server, 'close')
  return port
}

async function listens(port: number): Promise<void> {
  const { connect } = await import('node:net')
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false
    )
    socket.destroy()
    if (isOpen) return
    await sleep(50)
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
