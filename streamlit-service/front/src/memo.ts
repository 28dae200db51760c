// A component that is drawn anew only when what it is given changed.

import { Component, type ComponentType, createElement } from "preact";

export function memo<P extends object>(Inner: ComponentType<P>): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return (Object.keys(next) as (keyof P)[]).some((key) => next[key] !== this.props[key]);
    }

    override render() {
      return createElement(Inner, this.props);
    }
  };
}
