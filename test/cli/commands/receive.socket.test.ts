import { once } from 'node:events'
import { createServer } from 'node:net'
import { PassThrough } from 'node:stream'
import { expect } from 'chai'
import { newSecret, secretIn, signatureOf } from '../../../src/webhooks/endpoint/signature.js'
import { runCommand } from '../run-command.js'

/** `castellan receive` on a free port, until it is stopped. */
async function startReceiver(...flags: readonly string[]) {
  const stop = new AbortController()
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const parts = { stdout: stdout as never, stderr: stderr as never, stopped: stop.signal }
  const ended = runCommand(['receive', '--port', '0', ...flags], parts)
  const [said] = await once(stderr, 'data')
  const url = /http:\/\/\S+/.exec(String(said))![0]
  return {
    url,
    post: async (headers: Record<string, string>, body: string | Buffer = '', method = 'POST') => {
      const line = once(stdout, 'data')
      const { status } = await fetch(url, { method, headers, ...(method === 'POST' && { body }) })
      return [status, String((await line)[0])] as const
    },
    stop: async () => {
      stop.abort()
      return (await ended).code
    }
  }
}

const place = { 'x-castellan-topic': 'orders', 'x-castellan-partition': '0', 'x-castellan-offset': '12' }

function signed(secret: string, body: Buffer, seconds = Math.floor(Date.now() / 1_000)): Record<string, string> {
  const signature = signatureOf([secretIn(secret)!], 'AAAA-0-12', seconds, body)
  return { 'webhook-id': 'AAAA-0-12', 'webhook-timestamp': String(seconds), 'webhook-signature': `v1a,x ${signature}` }
}

describe('castellan receive', () => {
  it('answers 204 and prints a line for each request', async () => {
    const receiver = await startReceiver()
    expect(
      await receiver.post({ ...place, 'webhook-id': 'AAAA-0-12', 'x-castellan-attempt': '1' }, '{"a":1}')
    ).to.deep.equal([204, '204  not verified  orders/0 offset 12  id AAAA-0-12  {"a":1}\n'])
    expect(await receiver.post({ 'x-castellan-attempt': '3' }, Buffer.from([0xff, 0x00]))).to.deep.equal([
      204,
      '204  not verified  attempt 3  id -  2 bytes: /wA=\n'
    ])
    const [, escaped] = await receiver.post({ 'webhook-id': 'a' }, 'one\ntwo\u001b[2J')
    expect(escaped).to.equal('204  not verified  id a  one\\ntwo\\u001b[2J\n')
    const [, long] = await receiver.post({}, 'x'.repeat(2_000))
    expect(long).to.match(/x… \(2000 bytes\)\n$/)
    expect(await receiver.post({}, '', 'GET')).to.deep.equal([405, '405  not verified  id -\n'])
    expect(await receiver.stop()).to.equal(0)
  })

  it('verifies signatures by each of its secrets, and answers 401 where none fits', async () => {
    const [one, other] = [newSecret(), newSecret()]
    const receiver = await startReceiver('--secret', one, '--secret', other)
    const body = Buffer.from('{}')
    for (const secret of [one, other])
      expect(await receiver.post(signed(secret, body), body)).to.deep.equal([204, '204  verified  id AAAA-0-12  {}\n'])
    const now = Math.floor(Date.now() / 1_000)
    const wrong = [
      [signed(newSecret(), body), 'has the signature of another secret'],
      [signed(one, Buffer.from('{ }')), 'has the signature of another secret'],
      [signed(one, body, now - 310), 'has a timestamp of more than five minutes ago or ahead'],
      [signed(one, body, now + 310), 'has a timestamp of more than five minutes ago or ahead'],
      [{ ...signed(one, body), 'webhook-timestamp': 'now' }, 'has no timestamp'],
      [{}, 'has no signature']
    ] as const
    for (const [headers, problem] of wrong) {
      const [status, line] = await receiver.post({ ...headers }, body)
      expect([status, line.split('  ')[1]], problem).to.deep.equal([401, problem])
    }
    expect(await receiver.stop()).to.equal(0)
  })

  it('answers another status', async () => {
    const secret = newSecret()
    const receiver = await startReceiver('--status', '500', '--secret', secret)
    expect((await receiver.post(signed(secret, Buffer.from('a')), 'a'))[0]).to.equal(500)
    await receiver.stop()
  })

  it('says what is wrong with its flags, and that its port is taken', async () => {
    for (const [flags, text] of [
      [['--port', '70000'], '--port takes a port, from 0 to 65535, not "70000"'],
      [['--status', '199'], '--status takes a status, from 200 to 599, not "199"'],
      [['--secret', 'abc'], '--secret takes a secret: whsec_ and 24 to 64 bytes in base64']
    ] as const) {
      const { code, stderr } = await runCommand(['receive', ...flags])
      expect([code, stderr]).to.satisfy(
        ([code, stderr]: [number, string]) => code === 2 && stderr.includes(text),
        stderr
      )
    }
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { readonly port: number }
    const { code, stderr } = await runCommand(['receive', '--port', String(port)])
    expect([code, stderr.includes(`port ${port} on 127.0.0.1 is taken; choose another with --port`)]).to.deep.equal([
      1,
      true
    ])
    server.close()
  })
})
