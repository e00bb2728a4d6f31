import type { ActorRef } from '../../core/actor/actor.js'
import type {
  AskableOperations,
  Operations,
  RequestOf,
  ResultOf,
  RouterMessage,
  RouterRequest
} from '../messages/operations.js'
import { checkAddress, checkQuestion } from './mistakes.js'

export type Unasked<Operation extends keyof AskableOperations> = Operation extends keyof AskableOperations
  ? Omit<RequestOf<Operation>, 'requester'>
  : never

/**
 * Completes a request. The spread comes last, because in Node 20 each literal that begins with a spread and adds fields
 * gets a hidden class of its own, and every later access to its fields is slow. What the spread may have overwritten is
 * set again.
 */
export function withRequester(request: object, timeoutMs: number | undefined, requester: object): RouterMessage {
  const message = { timeoutMs, requester, ...request }
  message.timeoutMs = timeoutMs
  message.requester = requester
  return message as typeof message & RouterMessage
}

/**
 * Asks many requests in one message.
 *
 * @returns the results in the order of the requests, when all of them are there
 */
export function askRouter<const Requests extends readonly AnyUnasked[]>(
  router: ActorRef<RouterMessage>,
  requests: Requests
): Promise<ResultsOf<Requests>>
/**
 * Asks the Router from code outside the actors. The type of the result follows from the type of the request:
 *
 *   const result = await askRouter(router, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
 *   if (result.type === 'success') result.offset
 *
 * The Router answers each request by its deadline, and refuses it after it has stopped. The promise rejects only for a
 * mistake of a caller without types: an InvalidRequestError says which.
 */
export function askRouter<Operation extends keyof AskableOperations>(
  router: ActorRef<RouterMessage>,
  request: Unasked<Operation> & { readonly type: Operation }
): Promise<ResultOf<Operation>>
export function askRouter(
  router: ActorRef<RouterMessage>,
  asked: AnyUnasked | readonly AnyUnasked[]
): Promise<unknown> {
  return new Promise(reply => {
    checkAddress(router)
    if (isList(asked)) reply(askAll(router, asked))
    else {
      checkQuestion(asked)
      router.tell(withRequester(asked, asked.timeoutMs, { reply }))
    }
  })
}

type AnyUnasked = { readonly [Operation in keyof Operations]: Unasked<Operation> }[keyof Operations]
type ResultsOf<Requests extends readonly AnyUnasked[]> = {
  -readonly [At in keyof Requests]: ResultOf<Requests[At]['type']>
}

const isList = (asked: AnyUnasked | readonly AnyUnasked[]): asked is readonly AnyUnasked[] => Array.isArray(asked)

function askAll(router: ActorRef<RouterMessage>, asked: readonly AnyUnasked[]): Promise<unknown[]> {
  for (const one of asked) checkQuestion(one)
  const requests: RouterRequest[] = []
  const ask = (one: AnyUnasked) => (reply: (result: unknown) => void) =>
    void requests.push(withRequester(one, one.timeoutMs, { reply }) as RouterRequest)
  const results = asked.map(one => new Promise(ask(one)))
  router.tell({ type: 'requests', requests })
  return Promise.all(results)
}

/**
 * Limit of concurrent requests to the Router: a large topic, or many groups, must not take the places of all waiting
 * requests.
 */
const AT_ONCE = 250

/** Calls `ask` for every item, for a limited number of items at a time. `ask` may end this early. */
export function askForEach<Item>(
  items: readonly Item[],
  ask: (item: Item, answered: (isEnough?: boolean) => void) => void,
  onOver: () => void
): void {
  let next = 0
  let open = 0
  let isEnough = false
  let isAsking = false
  const askMore = (): void => {
    if (isAsking) return
    isAsking = true
    while (!isEnough && open < AT_ONCE && next < items.length) {
      open++
      ask(items[next++]!, enough => {
        open--
        isEnough ||= enough === true
        askMore()
      })
    }
    isAsking = false
    if (open === 0) onOver()
  }
  askMore()
}

/**
 * Calls `work` for every item, for a limited number of items at a time. Returns the results in the order of items. Rejects
 * when `work` rejects or throws.
 */
export function mapInPortions<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>
): Promise<Result[]> {
  const results: Result[] = new Array(items.length)
  return new Promise((resolve, reject) => {
    askForEach(
      [...items.entries()],
      ([at, item], answered) => {
        attempt(work, item).then(
          result => {
            results[at] = result
            answered()
          },
          error => {
            reject(error)
            answered(true)
          }
        )
      },
      () => resolve(results)
    )
  })
}

/** A promise also where `work` throws: later items begin in the callbacks of others, which catch nothing. */
async function attempt<Item, Result>(work: (item: Item) => Promise<Result>, item: Item): Promise<Result> {
  return work(item)
}
