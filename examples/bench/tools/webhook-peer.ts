import { Agent, request as httpRequest } from 'node:http'
import { Consumer } from '@platformatic/kafka'
import { Pool } from 'undici'
import { answerParent } from './child.js'

export interface PeerRun {
  readonly client: 'undici' | 'http'
  readonly bootstrap: string
  readonly topic: string
  readonly groupId: string
  readonly url: string
  /** Requests under way at a time. */
  readonly inFlight: number
}

/** Sends a body, and is called back when the answer has come whole. */
type Post = (body: Buffer, answered: () => void) => void

const COMMIT_EVERY_MS = 1_000
const MAX_WAIT_MS = 100
const HEADERS = { 'content-type': 'application/octet-stream' }

/**
 * What a program of one's own does: `@platformatic/kafka` reads, and each record is posted, so many at a time. It signs nothing,
 * keeps no order, and commits by time what it has read, so that records can be lost.
 */
async function run({ client, bootstrap, topic, groupId, url, inFlight }: PeerRun): Promise<void> {
  const post = client === 'undici' ? byUndici(url, inFlight) : byHttp(url, inFlight)
  const consumer = new Consumer({
    clientId: 'bench',
    groupId,
    bootstrapBrokers: bootstrap.split(','),
    autocommit: COMMIT_EVERY_MS,
    maxWaitTime: MAX_WAIT_MS
  })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest' })
  let underWay = 0
  stream.on('data', ({ value }: { value: Buffer }) => {
    if (++underWay >= inFlight) stream.pause()
    post(value, () => {
      if (--underWay < inFlight) stream.resume()
    })
  })
}

function byUndici(url: string, connections: number): Post {
  const { origin, pathname } = new URL(url)
  const pool = new Pool(origin, { connections })
  return (body, answered) => {
    pool
      .request({ path: pathname, method: 'POST', headers: HEADERS, body })
      .then(answer => answer.body.dump())
      .then(answered, fail)
  }
}

function byHttp(url: string, maxSockets: number): Post {
  const { hostname, port, pathname: path } = new URL(url)
  const agent = new Agent({ keepAlive: true, maxSockets })
  return (body, answered) => {
    const headers = { ...HEADERS, 'content-length': body.length }
    httpRequest({ agent, hostname, port, path, method: 'POST', headers }, answer => answer.on('end', answered).resume())
      .on('error', fail)
      .end(body)
  }
}

function fail(error: Error): never {
  throw error
}

answerParent({ start: () => ({}), run })
