import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { ActorSystem } from '../../../../src/core/actor/actor.js'
import { World } from './world.js'

const PORT = 80
/** Other tests of the process may hold it for some turns: it was held after 20 of them once. */
const MOST_COLLECTIONS = 200

describe('simulation: processes of a world that were killed', () => {
  it('are let go when the world ends, though nobody stopped their actors or closed their servers', async () => {
    const world = new WeakRef(await worldWithKilledProcess())
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    for (let times = 0; times < MOST_COLLECTIONS && world.deref() !== undefined; times++) {
      await new Promise(resolve => setTimeout(resolve, 1))
      collectGarbage()
    }
    expect(world.deref()).to.equal(undefined)
  })
})

describe('simulation: a server of Node in a world', () => {
  it('tells the date of the world', async () => {
    const world = new World({ seed: 1 })
    try {
      const [client, gateway] = [world.host('client'), world.host('gateway')]
      world.on(gateway, () => createServer({}, (_, answer) => void answer.end()).listen(PORT, 'gateway'))
      const socket = world.on(client, () => connect({ host: 'gateway', port: PORT }))
      const answered = once(socket, 'data') as Promise<[Buffer]>
      socket.write('GET / HTTP/1.1\r\nhost: gateway\r\n\r\n')
      const [head] = await world.until('an answer', answered, 100)
      const told = Date.parse(/Date: (.*)\r\n/.exec(head.toString())![1]!)
      expect(told).to.equal(Math.floor((world.time.now + world.time.wallOffsetMs) / 1_000) * 1_000)
    } finally {
      world.close()
    }
  })
})

/** A server with half a request, and an actor, both of which know of the world. */
async function worldWithKilledProcess(): Promise<World> {
  const world = new World({ seed: 1 })
  const [client, gateway] = [world.host('client'), world.host('gateway')]
  world.on(gateway, () => {
    createServer({}, () => world.seed).listen(PORT, 'gateway')
    new ActorSystem().spawnOwner('killed', { receive: () => void world.seed, onCrash: () => undefined })
  })
  const socket = world.on(client, () => connect({ host: 'gateway', port: PORT }))
  socket.on('error', () => undefined)
  await world.until('connecting', once(socket, 'connect'), 100)
  socket.write('GET / HTTP/1.1\r\n')
  await world.pass(10)
  gateway.state = 'dead'
  world.network.hostDied(gateway)
  await world.pass(10)
  world.close()
  return world
}
