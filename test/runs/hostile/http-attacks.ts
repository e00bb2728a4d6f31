import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../support/random.js'
import { RawSocket } from '../../support/raw-socket.js'

export interface Targets {
  readonly url: string
  readonly management: string
  /** Of Kafka-Pixy's service. */
  readonly grpcPort: number
  /** Of the embedded broker. */
  readonly broker: { readonly host: string; readonly port: number }
}

/** One attack; resolves with what the server did wrong, `undefined` when it did nothing wrong. */
export type Attack = (targets: Targets, random: SeededRandom) => Promise<string | undefined>

const head = (line: string, ...headers: string[]): string =>
  `${line} HTTP/1.1\r\nHost: localhost\r\n${headers.map(header => `${header}\r\n`).join('')}\r\n`
const body = (topic: string, wait: boolean): string =>
  JSON.stringify({ records: [{ topic, key: 'k', data: 'x'.repeat(100) }], wait_for_send: wait })
const push = (wait: boolean): string => {
  const bytes = body('attacked', wait)
  return `${head('POST /kprf/push', `Content-Length: ${bytes.length}`)}${bytes}`
}

async function sockets(url: string, count: number): Promise<RawSocket[]> {
  const opened = await Promise.all(Array.from({ length: count }, () => RawSocket.open(url).catch(() => undefined)))
  return opened.filter(socket => socket !== undefined)
}

/** Opens connections, does something on each, holds them for a while and ends them in one of the ways there are. */
async function hold(
  { url }: Targets,
  random: SeededRandom,
  count: number,
  act: (socket: RawSocket) => Promise<unknown>
): Promise<void> {
  const all = await sockets(url, count)
  await Promise.all(all.map(act))
  await sleep(random.between(0, 1_500))
  for (const socket of all) {
    if (random.between(0, 1) === 0) socket.reset()
    else socket.destroy()
  }
}

async function expectStatus(url: string, bytes: string, expected: RegExp): Promise<string | undefined> {
  const socket = await RawSocket.open(url).catch(() => undefined)
  if (!socket) return undefined
  await socket.send(bytes)
  await socket.until(() => socket.answers > 0)
  socket.destroy()
  return expected.test(socket.received)
    ? undefined
    : `${bytes.slice(0, 200)} was answered ${socket.received.slice(0, 200)}`
}

export const httpAttacks: Readonly<Record<string, Attack>> = {
  'sockets that announce 16 MiB and send nothing': (targets, random) =>
    hold(targets, random, 30, socket => socket.send(head('POST /kprf/push', 'Content-Length: 16777216'))).then(nothing),

  'large bodies that stall': (targets, random) =>
    hold(targets, random, 6, async socket => {
      await socket.send(head('POST /kprf/push', 'Content-Length: 16777216'))
      await socket.send(Buffer.alloc(random.between(1, 12) * 1024 * 1024, 32))
    }).then(nothing),

  'requests behind an unanswered one, cut': (targets, random) =>
    hold(targets, random, 40, socket =>
      socket.send(`${push(true)}${head('POST /kprf/push', 'Transfer-Encoding: chunked')}5\r\nab`)
    ).then(nothing),

  'bodies nobody reads': (targets, random) =>
    hold(targets, random, 20, socket =>
      socket.send(
        `${head(`${random.pick(['GET /', 'OPTIONS /kprf/push', 'POST /nowhere', 'PUT /kprf/push'])}`, 'Transfer-Encoding: chunked')}${'1\r\na\r\n'.repeat(2_000)}`
      )
    ).then(nothing),

  'more headers than Node shows': ({ url }) =>
    expectStatus(
      url,
      `POST /kprf/push HTTP/1.1\r\nHost: localhost\r\n${'a:\r\n'.repeat(1_500)}Content-Length: 15000000\r\n\r\n`,
      /^HTTP\/1\.1 431 /
    ),

  'heads byte by byte': (targets, random) =>
    hold(targets, random, 20, async socket => {
      for (const byte of head('GET /').slice(0, random.between(1, 30))) await socket.send(byte)
    }).then(nothing),

  'answers nobody reads': (targets, random) =>
    hold(targets, random, 3, async socket => {
      socket.pause()
      void socket.send(head('GET /').repeat(3_000))
    }).then(nothing),

  'pipelines without end': (targets, random) =>
    hold(targets, random, 2, async socket => void socket.send(push(true).repeat(500))).then(nothing),

  'connections that come and go': async ({ url }, random) => {
    for (const socket of await sockets(url, 100)) {
      if (random.between(0, 1) === 0) socket.reset()
      else socket.destroy()
    }
    return undefined
  },

  'tunnels and upgrades': (targets, random) =>
    hold(targets, random, 10, socket =>
      socket.send(
        random.pick([
          'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
          `${push(true)}CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n`,
          head('GET /', 'Connection: Upgrade', 'Upgrade: websocket'),
          'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
        ])
      )
    ).then(nothing),

  'a web page that writes': ({ url }) =>
    expectStatus(url, head('POST /kprf/push', 'Origin: http://evil.example', 'Content-Length: 0'), /^HTTP\/1\.1 403 /),

  'a web page that reads metrics by a domain of its own': ({ management }) =>
    expectStatus(management, 'GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n', /^HTTP\/1\.1 403 /)
}

const nothing = (): undefined => undefined
