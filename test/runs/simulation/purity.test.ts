import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect } from 'chai'

/**
 * Clocks, timers, randomness and sockets that the simulated world does not replace (test/runs/simulation/world/globals.ts).
 * What uses them would make two runs of one seed differ.
 */
const strangers: readonly (readonly [string, RegExp])[] = [
  ['new Date() without a time', /new Date\(\)/],
  ['Date() as a function', /(?<!new )(?<![\w.])Date\(/],
  ['timers by import', /from 'node:timers/],
  ['a timer that is kept', /(?<=[:=?(,] ?)(?:set|clear)(?:Timeout|Interval|Immediate)(?![\w(])/],
  ['crypto.getRandomValues', /getRandomValues|webcrypto|randomFill|generateKey/],
  ['performance.timeOrigin and marks', /performance\.(timeOrigin|mark|measure)/],
  ['waiting in place', /Atomics\.wait/],
  ['time limits of signals', /AbortSignal\.timeout/],
  ['names looked up', /from 'node:dns/],
  ['datagrams', /from 'node:(dgram|http2|quic)'/]
]

/** Rooms and files that have real clocks or threads for a reason, and are not part of a simulated world. */
const outside: Readonly<Record<string, string>> = {
  'producer/log/log-worker.ts': 'the thread of the log; a simulated world has its log in line',
  'producer/log/node-files.ts': 'the real disk, for which that thread stands still; a simulated world has its own',
  'producer/log/thread-log-host.ts': 'starts that thread',
  'schemas/codec-worker.ts': 'the thread of the schemas; a simulated world does their work in line',
  'schemas/thread-codec-host.ts': 'starts that thread',
  'core/metrics/statsd.ts': 'sends metrics by UDP, and nothing waits for them',
  'http/access/json-web-tokens.ts': 'fetches keys of an issuer of tokens, as above',
  'kafka/sasl.ts': 'asks such an issuer for a token',
  'apis/kafka-pixy/grpc/calls.ts': 'belongs to the gRPC port, which a simulated world does not open',
  'deployment/gateways/gateway-peers.ts': 'looks for other gateways, and a simulated world has one',
  'webhooks/endpoint/names.ts': 'asks name servers, and a simulated world has endpoints of its own',
  'webhooks/endpoint/place-names.ts': 'looks up names of the cluster, and a simulated world has endpoints of its own',
  'http/page/ask.ts': 'runs in the browser of an operator',
  'server/config/tokens.ts': 'runs commands that print tokens, which no simulated world has',
  'cli/gateway-writer.ts': 'a client of a gateway, in a process of its own',
  'cli/commands/doctor.ts': 'a command that asks a Kafka once, in a process of its own',
  'cli/doctor/beside-kafka.ts': 'belongs to that command',
  'cli/doctor/examine.ts': 'belongs to that command'
}

const files = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => join(entry.parentPath, entry.name))

describe('simulation: src tells time and draws lots only as a simulated world can', () => {
  it('uses nothing that is not replaced', () => {
    const wrong: string[] = []
    for (const file of files('src')) {
      const name = relative('src', file)
      if (name in outside) continue
      const text = readFileSync(file, 'utf8')
      for (const [what, pattern] of strangers) if (pattern.test(text)) wrong.push(`${name}: ${what}`)
    }
    expect(wrong).to.deep.equal([])
  })

  it('takes no timer of Node when it is loaded, before a world is open', () => {
    const [, kept] = strangers.find(([what]) => what === 'a timer that is kept')!
    for (const text of ['tick: setImmediate\n', 'const later = setTimeout', 'at(setInterval, 1)'])
      expect(text).to.match(kept)
    for (const text of ['tick: run => void setImmediate(run)', '= setTimeout(run, 1)']) expect(text).to.not.match(kept)
  })

  it('starts threads and other processes in the files named only', () => {
    const wrong = files('src')
      .map(file => relative('src', file))
      .filter(name => /node:(worker_threads|child_process|cluster)'/.test(readFileSync(join('src', name), 'utf8')))
      .filter(name => !(name in outside))
    expect(wrong).to.deep.equal([])
  })
})
