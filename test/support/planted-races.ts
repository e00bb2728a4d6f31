/** Three races that a fast machine never loses. Not run by themselves: `slow-machine.system.test.ts` shows that they are found. */
import { EventEmitter, once } from 'node:events'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'

describe('planted races', function () {
  this.timeout(10_000)

  it('answers before the record is stored', async () => {
    const stored: string[] = []
    const server = createServer((request, answer) => {
      void stat('.').then(() => stored.push(request.url!))
      setTimeout(() => answer.end('stored'), 20)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    try {
      for (let number = 0; number < 20; number++) {
        await (await fetch(`http://127.0.0.1:${port}/${number}`)).text()
        expect(stored).to.include(`/${number}`)
      }
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })

  it('renews its lease by a timer that must not be late', async () => {
    for (let turn = 0; turn < 20; turn++) {
      const endsAt = Date.now() + 120
      await new Promise(renew => setTimeout(renew, 60))
      expect(Date.now()).to.be.below(endsAt)
    }
  })

  it('listens when the event may be over', async () => {
    for (let turn = 0; turn < 20; turn++) {
      const started = new EventEmitter()
      setTimeout(() => started.emit('ready'), 25)
      await stat('.')
      await once(started, 'ready', { signal: AbortSignal.timeout(2_000) })
    }
  })
})
