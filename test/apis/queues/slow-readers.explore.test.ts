import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { acquireOf, MAX_BYTES, SmallHeap } from './small-heap.js'

/** More than kernels take for all connections below. */
const RECORDS = 1_400
const TRIES = 20
const SLOW_BYTES_PER_S = 14_000

describe('queues: a process of 256 MB with many slow clients', function () {
  this.timeout(600_000)
  const stage = new SmallHeap()
  let isOver = false
  before(() => stage.start(RECORDS))
  after(() => stage.children.stopAll())

  /** Reads as slowly as this until the connection ends. */
  function readSlowly(socket: Socket): void {
    socket.pause()
    const timer = setInterval(() => socket.read(Math.min(socket.readableLength, SLOW_BYTES_PER_S)), 1_000)
    socket.once('close', () => clearInterval(timer))
  }

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
    expect(Math.max(...firstByteMs), firstByteMs.join(' ')).to.be.below(10_000)
    expect(most, `${least} to ${most} of ${limit}: it was short of room`).to.be.at.least(limit - MAX_BYTES)
    while ((await stage.metric('castellan_http_answers_bytes')) > 0) await sleep(100)
  })
})
