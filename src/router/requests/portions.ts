/** Requests to the Router at a time: a large topic, or many groups, must not take the places of all waiting requests. */
const AT_ONCE = 250

/** Asks about every item, a limited number of them at a time, until `ask` says that it is enough. */
export function inPortions<Item>(
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

/** The results of work on every item, in the order of items; a limited number of them is worked on at a time. */
export function mapInPortions<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>
): Promise<Result[]> {
  const results: Result[] = new Array(items.length)
  return new Promise((resolve, reject) => {
    inPortions(
      [...items.entries()],
      ([at, item], answered) => {
        work(item).then(
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
