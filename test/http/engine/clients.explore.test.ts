import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { type Started, startHttp, until, untilNothingIsHeld } from '../server/stage.js'
import { WatchedApp } from './watched-app.js'

const COUNT = 100
const FOLDER = resolve('test/http/engine/clients')
/** What is built, and the bodies that clients read. */
const BUILT = resolve('.cache/clients')
const GZIPPED = `${BUILT}/push.json`
const VALUE = 'x'.repeat(50_000)
const LIMITS = { maxBodyBytes: 100_000, requestTimeoutMs: 900, headersTimeoutMs: 900, keepAliveTimeoutMs: 1_000 }
/** Each client needs less, on a busy machine as well. */
const PATIENCE_MS = 20_000

/**
 * A client of a standard library, or a program. It takes a URL and steps, and prints a line for each: `STATUS LENGTH TEXT`,
 * where the text is short, `error`, or `cannot`. A step is `wait MS` or `METHOD PATH [BODY SIZE]` with one of the bodies
 * `length`, `chunks`, `expect` (100-continue), `stall` and `stall-chunks` (10 bytes, and nothing more for SIZE ms), and
 * `gzip` (of the file SIZE).
 */
interface ClientKind {
  readonly name: string
  /** Builds it; fails where its language is not installed. */
  readonly probe: string
  readonly command: string
  /** How many connections {@link COUNT} requests take; absent: it has a process for each request. */
  readonly connections?: number
  /** Bodies that it can send. Default: chunks, and one that expects 100 Continue. */
  readonly bodies?: readonly string[]
  readonly gzips?: true
}

const python = { probe: 'python3 --version', command: `python3 ${FOLDER}/client.py` }
const go = { probe: `go build -o ${BUILT}/go ${FOLDER}/client.go`, command: `${BUILT}/go` }
const java = { probe: `javac -d ${BUILT} ${FOLDER}/Client.java`, command: `java -cp ${BUILT} Client` }
const php = { probe: 'php --version', command: `php ${FOLDER}/client.php` }
const node = { probe: 'node --version', command: `node ${FOLDER}/client.mjs` }
const shell = { probe: 'bash --version', command: `bash ${FOLDER}/client.sh` }
const rust = {
  probe: `mkdir -p ${BUILT}/rust && cd ${BUILT}/rust && { [ -e Cargo.toml ] || cargo init -q --name client; } && cp ${FOLDER}/client.rs src/main.rs && cargo add -q reqwest@0.12 --no-default-features -F blocking && cargo build -q --release`,
  command: `${BUILT}/rust/target/release/client`
}
const kind = (
  name: string,
  { probe, command }: typeof python,
  mode: string,
  more: Partial<ClientKind>
): ClientKind => ({
  name,
  probe,
  command: `${command} ${mode}`,
  ...more
})
const CHUNKS = ['chunks', 'length']

const clients: readonly ClientKind[] = [
  kind("Python's http.client", python, 'http', { connections: 1, bodies: CHUNKS, gzips: true }),
  kind("Python's requests", { ...python, probe: 'python3 -c "import requests"' }, 'requests', {
    connections: 1,
    bodies: CHUNKS
  }),
  kind("Python's urllib", python, 'urllib', { connections: COUNT, bodies: CHUNKS }),
  kind("Go's net/http", go, 'keep', { connections: 1, gzips: true }),
  kind("Go's net/http without keep-alive", go, 'close', { connections: COUNT }),
  kind("Java's HttpClient, which offers HTTP/2", java, 'new', {
    connections: 1
  }),
  kind("Java's HttpURLConnection", java, 'old', { connections: 1 }),
  kind("PHP's streams", php, 'streams', { connections: COUNT, bodies: ['length'] }),
  kind("PHP's curl", { ...php, probe: 'php -r "curl_init();"' }, 'curl', { connections: 1 }),
  kind("Ruby's net/http", { probe: 'ruby --version', command: `ruby ${FOLDER}/client.rb` }, 'keep', { connections: 1 }),
  kind("Perl's HTTP::Tiny", { probe: 'perl -MHTTP::Tiny -e 1', command: `perl ${FOLDER}/client.pl` }, 'keep', {
    connections: 1,
    bodies: CHUNKS
  }),
  kind("Node's fetch", node, 'fetch', { connections: 2, bodies: CHUNKS, gzips: true }),
  kind("Node's http", node, 'http', { connections: 1 }),
  kind("Rust's reqwest", rust, 'keep', { connections: 1, bodies: CHUNKS }),
  kind('curl with HTTP/1.0', { ...shell, probe: 'curl --version' }, "'curl --http1.0'", {}),
  kind('curl with HTTP/1.1', { ...shell, probe: 'curl --version' }, "'curl --http1.1'", {}),
  kind('wget', { ...shell, probe: 'wget --version' }, 'wget', { bodies: ['length'] })
]

/** Programs that take many URLs at once keep their connection. */
const programs: readonly (readonly [name: string, command: string, connections: number])[] = [
  ['curl with HTTP/1.0', `curl -sS --http1.0 URL/loud/[0-${COUNT - 1}]`, COUNT],
  ['curl with HTTP/1.1', `curl -sS --http1.1 URL/loud/[0-${COUNT - 1}]`, 1],
  ['curl with an expectation', `curl -sS -d @package.json -H Expect:100-continue URL/loud/[0-${COUNT - 1}]`, 1],
  ['curl with chunks', `curl -sS -d @package.json -H Transfer-Encoding:chunked URL/loud/[0-${COUNT - 1}]`, 1],
  ['wget', `for n in $(seq 0 ${COUNT - 1}); do echo URL/loud/$n; done | wget -q -i - -O -`, 1]
]

const SMALL = 'POST /loud/push length 1'
/** What clients do, and what they see if all goes well. Errors have no length: their texts are not Node's. */
const cases: readonly (readonly [name: string, steps: readonly string[], wanted: string])[] = [
  ['a connection that ends while it is idle', [SMALL, 'wait 1600', SMALL], '200 6,200 6'],
  ['a body that is too large', ['POST /loud/push length 8000000', SMALL], '413,200 6'],
  ['a body that is too large, in chunks', ['POST /loud/push chunks 8000000', SMALL], '413,200 6'],
  ['a body that is too large, and expects 100 Continue', ['POST /loud/push expect 8000000', SMALL], '413,200 6'],
  ['a body that stalls', ['POST /loud/push stall 2500'], '408'],
  ['a body in chunks that stalls', ['POST /loud/push stall-chunks 2500'], '408'],
  ['an answer with a length that is cut', ['GET /loud/cut-length'], 'error'],
  ['an answer in chunks that is cut', ['GET /loud/cut-chunks'], 'error'],
  ['HEAD of a large answer', ['HEAD /loud/large', SMALL], '200 0,200 6'],
  ['a large answer', ['GET /loud/large'], '200 24000000']
]
/** A client sees that the server refuses connections, and loses no request before. */
const DRAIN = [
  'a server that drains',
  Array.from({ length: 400 }, (_, at) => (at % 2 === 0 ? SMALL : 'wait 5')),
  '200 6,error'
] as const

/** How many requests have come. */
let begun = 0

async function plugin(app: FastifyInstance): Promise<void> {
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  app.addHook('onRequest', (_, __, done) => {
    begun++
    done()
  })
  app.post('/push', () => 'pushed')
  app.get('/large', (_, reply) => reply.send(Buffer.alloc(24_000_000)))
  app.get('/endless', (_, reply) =>
    reply.send(
      Readable.from(
        (async function* () {
          while (true) yield Buffer.alloc(60_000)
        })()
      )
    )
  )
  for (const [path, headers] of [
    ['/cut-length', { 'content-length': 1_000_000 }],
    ['/cut-chunks', {}]
  ] as const)
    app.get(path, (_, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, headers).write(Buffer.alloc(500_000))
      setTimeout(() => reply.raw.destroy(), 100)
    })
}

/** The same routes in the engine or in `node:http`. */
interface Server {
  readonly url: string
  leave(): void
  close(): Promise<unknown>
}

async function startNode(): Promise<Server> {
  const app = fastify({
    bodyLimit: LIMITS.maxBodyBytes,
    requestTimeout: LIMITS.requestTimeoutMs,
    keepAliveTimeout: LIMITS.keepAliveTimeoutMs,
    forceCloseConnections: 'idle'
  })
  let isLeaving = false
  app.addHook('onRequest', async (_, reply) => {
    if (isLeaving) reply.header('connection', 'close')
  })
  Object.assign(app.server, { headersTimeout: LIMITS.headersTimeoutMs, connectionsCheckingInterval: 200 })
  await app.register(plugin, { prefix: '/loud' })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { url, leave: () => (isLeaving = true), close: () => app.close() }
}

const engineOf = ({ http }: Started): Server => ({
  url: http.urls.shared,
  leave: () => http.leave(),
  close: () => http.drain(5_000)
})

interface Running {
  readonly said: Promise<string>
  kill(): void
}

/** Runs a command in a group of processes of its own. */
function run(command: string): Running {
  const child = spawn('bash', ['-c', command], { detached: true })
  let said = ''
  for (const output of [child.stdout, child.stderr]) output.on('data', (data: Buffer) => (said += data.toString()))
  const kill = (): void => {
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL')
  }
  const patience = setTimeout(() => {
    said += '\nhangs\n'
    kill()
  }, PATIENCE_MS)
  const closed = once(child, 'close').then(() => {
    clearTimeout(patience)
    return said
  })
  return { said: closed, kill }
}

const ask = ({ command }: ClientKind, url: string, steps: readonly string[]): Running =>
  run(`${command} ${url} ${steps.map(step => `'${step}'`).join(' ')}`)

const answersIn = (said: string): string[] => [...said.matchAll(/^200 \d+ (.+)$/gm)].map(([, text]) => text!)
const ANSWERS = Array.from({ length: COUNT }, (_, n) => `answer to /${n}`)

/** Outcomes without texts, those of refusals without lengths, and those of many alike once. */
const outcomesIn = (said: string): string => {
  const outcomes = said.match(/^(?:[23]\d\d \d+|[45]\d\d(?= )|error|cannot|hangs)/gm) ?? [said]
  return outcomes.filter((one, at) => outcomes.length < COUNT || one !== outcomes[at - 1]).join()
}

describe('clients of standard libraries', () => {
  const started = {} as { engine: Started; node: Server }
  const verbs = new FakeVerbs()
  before(async () => {
    mkdirSync(BUILT, { recursive: true })
    writeFileSync(GZIPPED, JSON.stringify({ records: [{ topic: 'zipped', data: VALUE }] }))
    started.engine = await startHttp({ plugin, verbs, http: LIMITS })
    started.node = await startNode()
  })
  after(() => Promise.all([started.engine.http.close(), started.node.close()]))

  /** Runs a client beside both servers; what it sees of ours is wanted, or what it sees of Node's. */
  async function compare(client: ClientKind, [, steps, wanted]: (typeof cases)[number], ours: Server, nodes: Server) {
    const asked = [ours, nodes].map(({ url }) => ask(client, url, steps))
    const [seen, expected] = (await Promise.all(asked.map(({ said }) => said))).map(outcomesIn)
    // A request that comes in the last moment of a drain is refused by an answer.
    expect(seen?.replace(',503,error', ',error')).to.be.oneOf([wanted, expected])
  }

  for (const client of clients)
    describe(client.name, () => {
      before(function () {
        const { status, stderr } = spawnSync('bash', ['-c', client.probe], { encoding: 'utf8' })
        if (status === 0) return
        console.error(`!!! SKIPPED: ${client.probe} fails here; nothing is tested with ${client.name}\n${stderr}`)
        this.skip()
      })

      const { connections, bodies = ['chunks', 'expect'] } = client
      if (connections !== undefined)
        it(`gets ${COUNT} answers, and connects ${connections} times`, async () => {
          const app = await WatchedApp.start()
          const kinds = ['GET PATH', `POST PATH ${bodies[0]} 5000`, `POST PATH ${bodies.at(-1)} 5000`]
          const steps = Array.from({ length: COUNT }, (_, n) => kinds[n % 3]!.replace('PATH', `/loud/${n}`))
          const said = await ask(client, app.url, steps).said
          await app.close()
          expect(answersIn(said)).to.deep.equal(ANSWERS)
          const bodiesOf = (n: number): string => JSON.parse(/"[^"]*"$/.exec(app.handled[n]!)![0]).length
          expect(app.handled.map((_, n) => bodiesOf(n))).to.deep.equal(steps.map((_, n) => (n % 3 === 0 ? 0 : 5_000)))
          expect(app.ports.size).to.equal(connections)
        })

      for (const one of cases)
        it(one[0], async () => {
          await compare(client, one, engineOf(started.engine), started.node)
        })

      it('sees a server that drains as it sees node:http', async () => {
        const engine = engineOf(await startHttp({ plugin, http: LIMITS }))
        const node = await startNode()
        begun = 0
        const outcome = compare(client, DRAIN, engine, node)
        await until(() => begun >= 40, 'requests')
        engine.leave()
        node.leave()
        await sleep(300)
        await Promise.all([engine.close(), node.close()])
        await outcome
      })

      for (const step of ['POST /loud/push stall 10000', 'GET /loud/endless'])
        it(`nothing is held for it when it is killed in the middle of ${step.split(' ')[1]}`, async () => {
          begun = 0
          const running = ask(client, started.engine.http.urls.shared, [step])
          let isOver = false
          void running.said.then(() => (isOver = true))
          await until(() => begun > 0 || isOver, 'a request')
          running.kill()
          await running.said
          await untilNothingIsHeld(started.engine)
        })

      if (client.gzips)
        it('has its compressed body decoded', async () => {
          verbs.calls.length = 0
          const { said } = ask(client, started.engine.http.urls.shared, [`POST /kprf/push gzip ${GZIPPED}`])
          expect(outcomesIn(await said)).to.match(/^200 /)
          expect(verbs.calls.map(({ records }) => records.map(({ value }) => `${value}`))).to.deep.equal([[VALUE]])
        })
    })

  for (const [name, command, connections] of programs)
    it(`${name} gets ${COUNT} answers over ${connections === 1 ? 'one connection' : 'a connection each'}`, async () => {
      const app = await WatchedApp.start()
      const said = await run(command.replaceAll('URL', app.url)).said
      await app.close()
      expect(said.match(/answer to \/\d+/g)).to.deep.equal(ANSWERS)
      expect(app.ports.size).to.equal(connections)
    })
})
