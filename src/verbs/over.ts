/** An object with these members in place of its own. */
export const over = <Own extends object>(own: Own, members: Partial<Own>): Own =>
  new Proxy(own, {
    get(target, name) {
      if (Object.hasOwn(members, name)) return members[name as keyof Own]
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
