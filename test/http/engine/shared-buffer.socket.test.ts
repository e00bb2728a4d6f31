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

  const accept = async (buffer: SharedBuffer, take: (text: string) => boolean): Promise<Socket | undefined> => {
    const adopted = new Promise<Socket | undefined>(resolve =>
      server.once('connection', socket => {
        accepted = socket
        resolve(buffer.adopt(socket, bytes => take(bytes.toString())))
      })
    )
    client = connect((server.address() as { port: number }).port, '127.0.0.1')
    client.on('error', () => undefined)
    return adopted
  }

  it('takes the handle of an accepted socket: Node has the field, and reads into a buffer that it is given', async () => {
    const read: string[] = []
    let wake = (): void => undefined
    const socket = (await accept(new SharedBuffer(), text => {
      read.push(text)
      wake()
      return true
    }))!
    expect(socket, 'the private API of Node that the engine uses').not.to.equal(undefined)
    expect((accepted as unknown as { _handle: unknown })._handle).to.equal(null)
    const came = new Promise<void>(resolve => (wake = resolve))
    client.write('abc')
    await came
    expect([read, socket.bytesRead, socket.remotePort]).to.deep.equal([['abc'], 3, client.localPort])
    const answered = once(client, 'data')
    socket.write('def')
    expect(String((await answered)[0])).to.equal('def')
    const ended = once(socket, 'end')
    client.end()
    await ended
    socket.end()
    await once(accepted, 'close')
    expect(await new Promise(resolve => server.getConnections((_, count) => resolve(count)))).to.equal(0)
  })

  it('is not used where Node has no such field', async () => {
    await accept(new SharedBuffer(), () => true).then(socket => socket?.destroy())
    const other = { _handle: {} } as unknown as Socket
    expect(new SharedBuffer().adopt(other, () => true)).to.equal(undefined)
    expect(new SharedBuffer().adopt({} as Socket, () => true)).to.equal(undefined)
  })

  it('closes with the accepted socket, which the server may close', async () => {
    const socket = (await accept(new SharedBuffer(), () => true))!
    accepted.destroy()
    await once(socket, 'close')
    expect(socket.destroyed).to.equal(true)
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
