import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { acquireOf, MAX_BYTES, SmallHeap } from './small-heap.js'

/** More than kernels take for all connections below. */
const RECORDS = 1_400
const TRIES = 20
const SLOW_BYTES_PER_S = 14_000
/** Clients that are never ended, and how fast they read. */
const STEADY = 6
const STEADY_BYTES_PER_S = 50_000
const LOCK_MS = 120_000

describe('queues: a process of 256 MB with many slow clients', function () {
  this.timeout(600_000)
  const stage = new SmallHeap()
  let isOver = false
  before(() => stage.start(RECORDS))
  after(() => stage.children.stopAll())

  /** The body of one answer, read so fast. */
  async function answerAt(socket: Socket, bytesPerS: number): Promise<string> {
    socket.pause()
    const pieces: Buffer[] = []
    let [received, wanted, headBytes] = [0, Number.POSITIVE_INFINITY, 0]
    let isOver = false
    socket.once('close', () => (isOver = true))
    while (received < wanted) {
      await sleep(100)
      const piece = socket.read(Math.min(socket.readableLength, bytesPerS / 10)) as Buffer | null
      expect(isOver && piece === null, `ended after ${received} of ${wanted} bytes`).to.equal(false)
      if (piece === null) continue
      pieces.push(piece)
      received += piece.length
      if (headBytes > 0) continue
      const [head] = piece.toString('latin1').split('\r\n\r\n')
      headBytes = head!.length + 4
      wanted = headBytes + Number(/content-length: (\d+)/i.exec(head!)![1])
    }
    return Buffer.concat(pieces).toString('latin1', headBytes)
  }

  const offsetsIn = (body: string): readonly string[] =>
    (JSON.parse(body) as { messages: { partition: number; offset: number }[] }).messages.map(
      ({ partition, offset }) => `${partition}/${offset}`
    )

  /** Reads as slowly as this until the connection ends. */
  function readSlowly(socket: Socket): void {
    socket.pause()
    const timer = setInterval(() => socket.read(Math.min(socket.readableLength, SLOW_BYTES_PER_S)), 1_000)
    socket.once('close', () => clearInterval(timer))
  }

  it('gives each byte of each answer, and no message twice, to clients that read 50 kB/s beside those that do not read', async () => {
    for (let at = 0; at < 60; at++) {
      const socket = await stage.open('127.0.0.99')
      socket.pause()
      socket.write(acquireOf({ count: 4, maxBytes: MAX_BYTES, lockMs: LOCK_MS }, 'steady'))
    }
    const offsets = await Promise.all(
      Array.from({ length: STEADY }, async (_, at) => {
        const socket = await stage.open(`127.0.0.${2 + at}`)
        socket.write(acquireOf({ count: 2, maxBytes: MAX_BYTES, lockMs: LOCK_MS }, 'steady'))
        return offsetsIn(await answerAt(socket, STEADY_BYTES_PER_S))
      })
    )
    for (const [at, { length }] of offsets.entries()) expect(length, `messages of client ${at}`).to.be.greaterThan(0)
    const all = offsets.flat()
    expect(new Set(all).size).to.equal(all.length)
    stage.closeSockets()
    while ((await stage.metric('castellan_http_answers_bytes')) > 0) await sleep(100)
  })

  it('serves an address within 10 s while 300 connections of another do not read, and 30 addresses read 14 kB/s', async () => {
    // Those that are ended come again at once.
    const beHostile = async (address: string, read: (socket: Socket) => void): Promise<void> => {
      while (!isOver) {
        const socket = await stage.open(address)
        read(socket)
        socket.write(acquireOf({ count: 4, maxBytes: MAX_BYTES }, 'slow'))
        await new Promise(resolve => socket.once('close', resolve))
      }
    }
    const hostile = Array.from({ length: 600 }, (_, at) =>
      at < 300 ? beHostile('127.0.0.99', socket => socket.pause()) : beHostile(`127.0.0.${2 + (at % 30)}`, readSlowly)
    )
    await stage.lives()
    const limit = await stage.metric('castellan_http_answers_limit_bytes')
    let [most, least] = [0, Number.POSITIVE_INFINITY]
    const firstByteMs: number[] = []
    for (let tries = 0; tries < TRIES; tries++) {
      const held = await stage.metric('castellan_http_answers_bytes')
      most = Math.max(most, held)
      least = Math.min(least, held)
      const socket = await stage.open()
      const since = performance.now()
      socket.write(acquireOf({ count: 1 }, 'slow'))
      const [first] = (await once(socket, 'data')) as [Buffer]
      firstByteMs.push(performance.now() - since)
      expect(first.toString('latin1', 0, 12)).to.equal('HTTP/1.1 200')
      socket.destroy()
    }
    isOver = true
    for (const socket of stage.sockets) socket.destroy()
    await Promise.all(hostile)
    const told = firstByteMs.map(ms => Math.round(ms)).join(' ')
    console.log(`first bytes after ${told} ms; ${least} to ${most} of ${limit} bytes were held`)
    expect(Math.max(...firstByteMs), told).to.be.below(10_000)
    expect(most, `${least} to ${most} of ${limit}: it was short of room`).to.be.at.least(limit - MAX_BYTES)
    while ((await stage.metric('castellan_http_answers_bytes')) > 0) await sleep(100)
  })
})
