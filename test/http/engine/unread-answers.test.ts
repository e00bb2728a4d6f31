import type { Socket } from 'node:net'
import { expect } from 'chai'
import { UnreadAnswers, type WaitingConnection } from '../../../src/http/engine/unread-answers.js'

const MAX_BYTES = 1_000
const LOOK_MS = 1_000
const UNREAD_MS = 5_000

/** A connection whose client takes what a test says. */
class Client implements WaitingConnection {
  readonly socket: Socket
  readonly address: object
  unheldBytes: number
  sentBytes = 0

  constructor(address: object, unheldBytes: number) {
    this.address = address
    this.unheldBytes = unheldBytes
    const client = this
    this.socket = {
      get bytesWritten() {
        return client.sentBytes
      },
      writableLength: 0
    } as unknown as Socket
  }
}

describe('small answers that nobody reads', () => {
  let now: number
  let open: Set<Client>
  let ended: Client[]
  let answers: UnreadAnswers<Client>
  beforeEach(() => {
    now = 0
    open = new Set()
    ended = []
    answers = new UnreadAnswers<Client>(MAX_BYTES, client => {
      ended.push(client)
      open.delete(client)
    })
  })

  const connect = (address: object, ...bytes: number[]): Client[] => {
    const clients = bytes.map(each => new Client(address, each))
    for (const client of clients) open.add(client)
    return clients
  }
  const pass = (forMs: number, takes: (client: Client) => boolean = () => false): void => {
    for (const until = now + forMs; now < until; now += LOOK_MS) {
      for (const client of open) if (takes(client)) client.sentBytes++
      answers.check(open, now)
    }
    answers.check(open, now)
  }

  it('stay for as long as they are few', () => {
    connect({}, MAX_BYTES / 2, MAX_BYTES / 2)
    pass(10 * UNREAD_MS)
    expect(ended).to.deep.equal([])
  })

  it('end with their connections once they are too many for 5 s, until they are few again', () => {
    const [first, second, third] = connect({}, 500, 500, 500)
    pass(UNREAD_MS - LOOK_MS)
    expect(ended).to.deep.equal([])
    pass(LOOK_MS)
    expect(ended).to.deep.equal([first])
    pass(10 * UNREAD_MS)
    expect([...open]).to.deep.equal([second, third])
  })

  it('end at the address that has most of them first', () => {
    connect({}, 500)
    const most = connect({}, 400, 300)
    connect({}, 300)
    pass(UNREAD_MS)
    expect(ended).to.deep.equal(most)
  })

  it('stay where their clients take a byte now and then', () => {
    const [slow] = connect({}, 900)
    const [still] = connect({}, 200)
    pass(UNREAD_MS, client => client === slow)
    expect(ended).to.deep.equal([still])
  })

  it('count anew from when there were too many', () => {
    const [a, b] = connect({}, 600, 600)
    pass(UNREAD_MS - LOOK_MS)
    b!.unheldBytes = 0
    pass(LOOK_MS)
    b!.unheldBytes = 600
    pass(UNREAD_MS - LOOK_MS)
    expect(ended).to.deep.equal([])
    pass(LOOK_MS)
    expect(ended).to.deep.equal([a])
  })

  it('of connections that have none cost nothing', () => {
    connect({}, 0, 0)
    const [only] = connect({}, MAX_BYTES + 1)
    pass(UNREAD_MS)
    expect(ended).to.deep.equal([only])
  })
})
