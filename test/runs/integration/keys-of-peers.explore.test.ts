import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { type PeerAddress, peerSettings } from '../../support/peer-address.js'
import { RawSocket } from '../../support/raw-socket.js'
import { onBroker } from '../../support/stage.js'

/** With so many keys, each gateway owns some of them. */
const KEYS = 8
const PATIENCE_MS = 60_000

interface Seen {
  readonly status: number
  readonly body: string
  readonly persisted: string | null
  readonly reach: string | null
  readonly replayed: string | null
}

describe('Idempotency-Key at gateways that know each other', function () {
  this.timeout(120_000)
  const stage = onBroker()
  let folder: string
  let addresses: PeerAddress[]
  let apps: (App | undefined)[]
  beforeEach(async () => {
    folder = stage.folder()
    addresses = await stage.peers()
    apps = []
  })

  const start = async (nth: number, durability: string, syncTimeoutMs = 30_000): Promise<void> => {
    const app = await stage.app({
      'delivery.createTopics': 'false',
      'apis.arion.durability': durability,
      'apis.arion.syncTimeoutMs': String(syncTimeoutMs),
      'shutdown.graceMs': '2000',
      'wal.directory': join(folder, String(nth)),
      ...peerSettings(addresses)
    })
    apps[nth] = app
    addresses[nth]!.target = app.peersAddress
  }
  const send = async (nth: number, topic: string, key: string): Promise<Seen> => {
    const url = `${apps[nth]!.urls.shared}/arion/sync/${topic}/k`
    const answer = await fetch(url, { method: 'POST', body: key, headers: { 'idempotency-key': key } })
    return {
      status: answer.status,
      body: await answer.text(),
      persisted: answer.headers.get('x-castellan-persisted'),
      reach: answer.headers.get('x-castellan-idempotency'),
      replayed: answer.headers.get('idempotent-replayed')
    }
  }
  /** Repeats a request, as a client does, until it has this answer. */
  const until = async (persisted: string, act: () => Promise<Seen>): Promise<Seen> => {
    for (const giveUpAt = performance.now() + PATIENCE_MS; ; ) {
      const seen = await act()
      if (seen.persisted === persisted || performance.now() > giveUpAt) return seen
      expect([seen.persisted, seen.status].join(' ')).to.be.oneOf(['unknown 503', 'unknown 409', 'pending 504'])
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
  const newKeys = (): string[] => Array.from({ length: KEYS }, () => randomUUID())
  /** Gateways that have just been started find each other. */
  const ready = async (topic: string): Promise<void> => {
    for (const nth of [0, 1]) {
      for (const key of newKeys()) await until('yes', () => send(nth, topic, key))
    }
  }

  for (const durability of ['memory', 'disk']) {
    it(`keeps the order of requests that are sent without waiting, on routes that keep records in ${durability}`, async () => {
      await Promise.all([start(0, durability), start(1, durability)])
      await ready(await stage.topic('others'))
      const topic = await stage.topic('in-order')
      const keys = newKeys().concat(newKeys())
      const answersAt = async (nth: number): Promise<readonly string[]> => {
        const client = await RawSocket.open(apps[nth]!.urls.shared)
        const head = `POST /arion/sync/${topic}/k HTTP/1.1\r\nhost: 127.0.0.1\r\n`
        const requests = keys.map(
          key => `${head}idempotency-key: ${key}\r\ncontent-length: ${key.length}\r\n\r\n${key}`
        )
        await client.send(requests.join(''))
        await client.until(
          () => client.answers === keys.length && client.received.match(/"offset":\d+/g)?.length === keys.length
        )
        client.destroy()
        return [...client.received.matchAll(/"offset":(\d+)/g)].map(([, offset]) => offset!)
      }
      const inOrder = keys.map((_, offset) => String(offset))
      expect(await answersAt(0)).to.deep.equal(inOrder)
      expect(await answersAt(1)).to.deep.equal(inOrder)
      expect(stage.cluster.highWatermark(topic, 0)).to.equal(keys.length)
    })
  }

  it('leads to a record that waits in the log of the other gateway, also after a restart of either', async () => {
    await Promise.all([start(0, 'disk', 2_000), start(1, 'disk', 2_000)])
    const topic = await stage.topic('pending')
    await ready(topic)
    const before = stage.cluster.highWatermark(topic, 0)
    const fault = stage.cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'dropRequest' })
    const keys = newKeys()
    for (const seen of await Promise.all(keys.map(key => send(0, topic, key))))
      expect(seen.persisted).to.equal('pending')
    for (const seen of await Promise.all(keys.map(key => send(1, topic, key))))
      expect(seen.persisted).to.equal('pending')
    for (const nth of [0, 1]) {
      await apps[nth]!.stop()
      await start(nth, 'disk', 2_000)
    }
    fault.remove()
    for (const key of keys) {
      const last = await until('yes', () => send(1, topic, key))
      // Each finds the other one when it looks again.
      expect(await until('yes', () => send(0, topic, key))).to.deep.equal({ ...last, replayed: 'true' })
    }
    expect(stage.cluster.highWatermark(topic, 0)).to.equal(before + KEYS)
  })
})
