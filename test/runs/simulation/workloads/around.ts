type Method<Class> = (self: Class, ...args: never[]) => unknown

/**
 * For watches of what classes do inside.
 *
 * @returns puts something around a method of a class, for as long as the process lives, and leaves calls alone while nothing is
 * watched
 */
export const aroundWhile =
  (isWatched: () => boolean) =>
  <Class extends object, Name extends keyof Class>(
    prototype: Class,
    name: Name,
    make: (real: Method<Class>) => Method<Class>
  ): void => {
    const real = prototype[name] as (...args: never[]) => unknown
    const made = make((self, ...args) => real.apply(self, args))
    Object.defineProperty(prototype, name, {
      configurable: true,
      writable: true,
      value(this: Class, ...args: never[]) {
        return isWatched() ? made(this, ...args) : real.apply(this, args)
      }
    })
  }
