// fetch, which knows no expectation, or node:http with an agent that keeps alive: `node client.mjs fetch|http URL STEP...`.
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

const [library, url, ...steps] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true })

/** A body without a length, which is sent in chunks. */
async function* pieces(size, pauseMs = 0) {
  for (let left = size; left > 0; left -= 100_000) yield Buffer.alloc(Math.min(left, 100_000))
  await sleep(pauseMs)
}

const bodies = {
  none: () => ({}),
  length: size => ({ body: Buffer.alloc(size) }),
  expect: size => ({ body: Buffer.alloc(size), headers: { expect: '100-continue', 'content-length': size } }),
  chunks: size => ({ body: Readable.from(pieces(size)) }),
  stall: ms => ({ body: Readable.from(pieces(10, ms)), headers: { 'content-length': '1000' } }),
  'stall-chunks': ms => ({ body: Readable.from(pieces(10, ms)) }),
  gzip: (_, file) => ({
    body: gzipSync(readFileSync(file)),
    headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' }
  })
}

async function byFetch(method, path, { body, headers }) {
  const stream = body instanceof Readable && { body: Readable.toWeb(body), duplex: 'half' }
  const answer = await fetch(url + path, { method, body, headers, ...stream })
  return [answer.status, Buffer.from(await answer.arrayBuffer())]
}

const byHttp = (method, path, { body, headers }) =>
  new Promise((resolve, reject) => {
    const sent = request(url + path, { method, headers, agent }, async answer => {
      resolve([answer.statusCode, Buffer.concat(await answer.toArray().catch(error => [reject(error)]))])
    })
    sent.on('error', reject)
    if (body instanceof Readable) body.pipe(sent)
    else if (headers?.expect === undefined) sent.end(body)
    else sent.on('continue', () => sent.end(body)).flushHeaders()
  })

for (const step of steps) {
  const [method, path, kind = 'none', size] = step.split(' ')
  if (method === 'wait') await sleep(Number(path))
  else if (kind === 'expect' && library === 'fetch') console.log('cannot')
  else {
    const asked = (library === 'fetch' ? byFetch : byHttp)(method, path, bodies[kind](Number(size), size))
    await asked.then(
      ([status, text]) => console.log(status, text.length, text.length < 40 ? text.toString() : ''),
      error => console.log('error', (error.cause ?? error).message)
    )
  }
}
process.exit()
