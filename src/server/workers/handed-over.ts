/** What Node's `cluster` sends with a connection, and what the worker answers as soon as it has it. */
interface ClusterMessage {
  readonly cmd?: string
  readonly act?: string
  readonly seq?: number
  readonly ack?: number
}

interface Handle {
  close(): void
}

type Send = (message: ClusterMessage, handle?: Handle, ...rest: unknown[]) => boolean

/** What is used of a child process. */
interface Child {
  send: unknown
  on(event: 'internalMessage', listener: (message: ClusterMessage) => void): unknown
  once(event: 'close', listener: () => void): unknown
}

/**
 * Closes connections that a worker was handed and had not taken when it ended. Node keeps them open in this process
 * without ever answering, so that their clients would wait for nothing.
 *
 * They are not handed to another worker: what the one that is gone has read of them is not known for certain.
 *
 * @param child a worker of `cluster`, which has not been sent anything yet
 */
export function closeWhatIsNotTaken(child: Child): void {
  const handed = new Map<number, Handle>()
  const send = (child.send as Send).bind(child)
  const noting: Send = (message, handle, ...rest) => {
    if (message.act === 'newconn' && message.seq !== undefined && handle) handed.set(message.seq, handle)
    return send(message, handle, ...rest)
  }
  child.send = noting
  child.on('internalMessage', ({ ack }: ClusterMessage) => {
    if (ack !== undefined) handed.delete(ack)
  })
  // While a connection is not taken, Node does not tell of the end of the channel ('disconnect').
  child.once('close', () => {
    for (const handle of handed.values()) handle.close()
    handed.clear()
  })
}
