import { acquireOf, MAX_BYTES, type SmallHeap } from './small-heap.js'

/** Messages of the topic: more than all answers below have. */
export const UNREAD_MESSAGES = 300

/** Cases in which clients take messages and do not read their answers. The process has to live through them. */
export const unreadAnswers: Readonly<Record<string, (stage: SmallHeap) => Promise<void>>> = {
  '75 connections of one client': async stage => {
    for (let at = 0; at < 75; at++) {
      const socket = await stage.open()
      socket.pause()
      socket.write(acquireOf({ count: 4, maxBytes: MAX_BYTES }, 'many'))
    }
  },
  'one connection with 98 pipelined acquires': async stage => {
    const socket = await stage.open()
    socket.pause()
    socket.write(acquireOf({ count: 2, maxBytes: MAX_BYTES }, 'one').repeat(98))
  }
}
