import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { expect } from 'chai'
import { lastingPart, SharedBuffer } from '../../../src/http/engine/shared-buffer.js'

describe('one buffer for all sockets', () => {
  let server: Server
  let client: Socket
  let accepted: Socket

  beforeEach(async () => {
    server = createServer({ allowHalfOpen: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })

  afterEach(() => {
    client.destroy()
    accepted.destroy()
    server.close()
  })

  /** A socket that has been accepted, and what it reads. */
  const accept = async (take: (text: string) => boolean = () => true): Promise<boolean> => {
    const buffer = new SharedBuffer(function (bytes) {
      expect(this).to.equal(accepted)
      return take(bytes.toString())
    })
    const adopted = new Promise<boolean>(resolve =>
      server.once('connection', socket => {
        accepted = socket
        resolve(buffer.adopt(socket))
      })
    )
    client = connect((server.address() as { port: number }).port, '127.0.0.1')
    client.on('error', () => undefined)
    return adopted
  }

  it('gets the bytes of an accepted socket: Node has the fields, and reads into a buffer that it is given', async () => {
    const read: string[] = []
    let wake = (): void => undefined
    const isAdopted = await accept(text => {
      read.push(text)
      wake()
      return true
    })
    expect(isAdopted, 'the private API of Node that the engine uses').to.equal(true)
    const came = new Promise<void>(resolve => (wake = resolve))
    client.write('abc')
    await came
    expect([read, accepted.bytesRead, accepted.remotePort]).to.deep.equal([['abc'], 3, client.localPort])
    const answered = once(client, 'data')
    accepted.write('def')
    expect(String((await answered)[0])).to.equal('def')
    const ended = once(accepted, 'end')
    client.end()
    await ended
    accepted.end()
    await once(accepted, 'close')
    expect(await new Promise(resolve => server.getConnections((_, count) => resolve(count)))).to.equal(0)
  })

  it('gets nothing while the socket is paused, or after it was told that it is enough', async () => {
    const read: string[] = []
    let wake = (): void => undefined
    await accept(text => {
      read.push(text)
      wake()
      return text !== 'enough'
    })
    const nextRead = () => new Promise<void>(resolve => (wake = resolve))
    const sent = (text: string) => new Promise<void>(resolve => client.write(text, () => resolve()))
    accepted.pause()
    await sent('one')
    await new Promise(setImmediate)
    expect(read).to.deep.equal([])
    const resumed = nextRead()
    accepted.resume()
    await resumed
    const enough = nextRead()
    await sent('enough')
    await enough
    await sent('more')
    await new Promise(setImmediate)
    expect(read).to.deep.equal(['one', 'enough'])
    const again = nextRead()
    accepted.resume()
    await again
    expect(read).to.deep.equal(['one', 'enough', 'more'])
  })

  it('is not used where Node has no such fields', async () => {
    await accept()
    const buffer = new SharedBuffer(() => true)
    expect(buffer.adopt({ _handle: {} } as unknown as Socket)).to.equal(false)
    expect(buffer.adopt({} as Socket)).to.equal(false)
    accepted.destroy()
    expect(buffer.adopt(accepted), 'a socket that is destroyed').to.equal(false)
  })

  it('lets go of a socket that is destroyed', async () => {
    await accept(() => expect.fail('nothing is read'))
    client.write('abc')
    accepted.destroy()
    await once(accepted, 'close')
    expect(await new Promise(resolve => server.getConnections((_, count) => resolve(count)))).to.equal(0)
  })

  it('is not kept for a small part of it, and a large part is not copied', () => {
    const all = Buffer.allocUnsafeSlow(65_536).fill('x')
    const [small, large] = [all.subarray(0, 27), all.subarray(0, 20_000)]
    expect(lastingPart(small, true).equals(small)).to.equal(true)
    expect(lastingPart(small, true).buffer).not.to.equal(all.buffer)
    expect(lastingPart(large, true)).to.equal(large)
    expect(lastingPart(large, false).buffer).not.to.equal(all.buffer)
  })
})
