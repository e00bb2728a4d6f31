import { expect } from 'chai'
import { attempt, EndpointStage } from './endpoint-stage.js'

describe('the time of an attempt', () => {
  it('is not late where its answer came while this process stood still', async () => {
    const stage = new EndpointStage()
    const receiver = await stage.receiver()
    const endpoint = stage.endpoint(`http://127.0.0.1:${receiver.port}/`)
    await endpoint.send(attempt())
    receiver.answer = ({ socket }) => {
      socket.write('HTTP/1.1 204 No Content\r\n\r\n')
      const until = Date.now() + 400
      while (Date.now() < until);
    }
    const result = await endpoint.send(attempt({ timeoutMs: 200 }))
    await stage.close()
    expect(result).to.include({ kind: 'status', status: 204 })
  })
})
