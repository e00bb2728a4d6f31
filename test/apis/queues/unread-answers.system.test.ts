import { acquireOf, MAX_BYTES, SmallHeap } from './small-heap.js'

describe('queues: a process of 256 MB whose clients do not read their answers', function () {
  this.timeout(120_000)
  const stage = new SmallHeap()
  before(() => stage.start(300))
  afterEach(() => stage.closeSockets())
  after(() => stage.children.stopAll())

  it('lives through 75 connections of one client', async () => {
    for (let at = 0; at < 75; at++) {
      const socket = await stage.open()
      socket.pause()
      socket.write(acquireOf({ count: 4, maxBytes: MAX_BYTES }, 'many'))
    }
    await stage.lives()
  })

  it('lives through one connection with 98 pipelined acquires', async () => {
    const socket = await stage.open()
    socket.pause()
    socket.write(acquireOf({ count: 2, maxBytes: MAX_BYTES }, 'one').repeat(98))
    await stage.lives()
  })
})
